"""Keeps two set-ups from working on the same folder at once."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file at `path`, waiting for whoever holds it.

    The system frees it when its holders end, however they end.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        # Inherited by pip: when only this process is killed, the orphaned pip keeps the lock, so nobody
        # deletes the folder under it.
        os.set_inheritable(descriptor, True)
        _wait(descriptor)
        yield
    finally:
        os.close(descriptor)


def _wait(descriptor: int) -> None:
    if _try_lock(descriptor):
        return
    print(
        "  another set-up (or what a killed one left running) is at work here; waiting for it to end",
        flush=True,
    )
    while not _try_lock(descriptor):
        time.sleep(0.5)
