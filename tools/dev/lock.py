"""Keeps two set-ups from working below .dev at once."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file at `path`, waiting for whoever holds it; it is free when its holders end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        # Inherited by uv: when only this process is killed, the orphan keeps the lock while it still writes.
        os.set_inheritable(file.fileno(), True)
        if not _is_held(file.fileno()):
            print("  another set-up (or what a killed one left running) is at work here; waiting for its end")
            sys.stdout.flush()
            while not _is_held(file.fileno()):
                time.sleep(0.5)
        yield


def _is_held(descriptor: int) -> bool:
    try:
        _lock(descriptor)
    except OSError:
        return False
    return True
