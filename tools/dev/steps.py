"""Set-up steps: one at a time, each makes one folder, whole or not at all, and shows one line."""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


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


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file at `path`, waiting for whoever holds it; it is free when its holders end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        # Inherited by uv: when only this process is killed, the orphan keeps the lock while it still writes.
        os.set_inheritable(file.fileno(), True)
        if not _try_lock(file):
            print("  another set-up (or what a killed one left running) is at work here; waiting", flush=True)
            while not _try_lock(file):
                time.sleep(0.5)
        yield


def _try_lock(file: IO[str]) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
