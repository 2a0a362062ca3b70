"""Set-up steps: each makes one folder, whole or not at all, and shows one line."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def made_whole(folder: Path) -> Iterator[Path]:
    """Give an empty folder to fill, which becomes `folder` at the end: a kill leaves all or nothing."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(partial, folder)


@contextmanager
def progress(title: str) -> Iterator[None]:
    """Print one line for one step: its title at the start, the seconds it took at the end."""
    print(f"  {title} ... ", end="", flush=True)
    start = time.monotonic()
    try:
        yield
    except BaseException:
        print("stopped")
        raise
    print(f"{time.monotonic() - start:.1f} s", flush=True)
