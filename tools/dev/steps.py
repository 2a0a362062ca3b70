"""Set-up steps that survive a kill: a step makes one folder, and its stamp is written last."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.dev.errors import DevError

STAMP = ".dev-stamp"


def digest(*inputs: str) -> str:
    """A hash of all that a step's result depends on."""
    return hashlib.sha256("\0".join(inputs).encode()).hexdigest()


def is_done(folder: Path, inputs: str) -> bool:
    stamp = folder / STAMP
    return stamp.is_file() and stamp.read_text().strip() == inputs


def mark_done(folder: Path, inputs: str) -> None:
    temporary = folder / f"{STAMP}.new"
    temporary.write_text(inputs)
    os.replace(temporary, folder / STAMP)


def remove(folder: Path) -> None:
    """Delete `folder`, its stamp first: a deletion that gets interrupted must not look like a finished
    step."""
    try:
        (folder / STAMP).unlink(missing_ok=True)
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise DevError(
            f"Cannot delete {folder} ({error.strerror}): end whatever still uses it and run this again."
        ) from error


@contextmanager
def progress(title: str) -> Iterator[None]:
    """One line for one step: its title at the start, the seconds it took at the end."""
    sys.stdout.write(f"  {title} ... ")
    sys.stdout.flush()
    start = time.monotonic()
    try:
        yield
    except BaseException:
        print("stopped")
        raise
    print(f"{time.monotonic() - start:.1f} s", flush=True)
