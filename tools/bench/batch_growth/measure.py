"""One run of freescale_batch on stand-ins of ComfyUI, which take no time for a job."""

import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from tools.harness.batch_command import Command, running
from tools.harness.batch_place import Place

WORKERS = 2
POLL_SECONDS = 0.1
MIB = 2**20


def measure(jobs: int, python: str) -> dict[str, Any]:
    """Seconds until the first job, seconds of all, and the driver's largest resident memory.

    load: processes that wanted a core before the run; more than 0 slows it down.
    """
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="freescale-bench-") as folder:
        place = Place(Path(folder))
        place.make()
        file = place.write_jobs([{"id": f"j{n}", "set": {"3.seed": n}} for n in range(jobs)])
        words = place.words(file, "--workers", str(WORKERS))
        start = time.monotonic()
        with running(Command(place.folder, place.tree, words, python)) as command:
            first, driver = followed(command, place, start)
            seconds = time.monotonic() - start
        if (done := len(place.results())) != jobs:
            raise RuntimeError(f"Expected {jobs} results, got {done}: this is a defect.\n{command.log}")
    found = {"jobs": jobs, "seconds": round(seconds, 1), "first_seconds": round(first, 1)}
    return found | {"driver_mib": round(driver / MIB), "load": round(load, 1)}


def followed(command: Command, place: Place, start: float) -> tuple[float, int]:
    """Wait for a command's end; returns when its first job began and how large it became."""
    first, driver = None, 0
    while command.process.poll() is None:
        with suppress(psutil.NoSuchProcess):
            driver = max(driver, command.process.memory_info().rss)
        if first is None and (place.tree / "runs.log").is_file():
            first = time.monotonic() - start
        time.sleep(POLL_SECONDS)
    if (status := command.wait()) or first is None:
        raise RuntimeError(f"Expected exit status 0, got {status}: read its log.\n{command.log}")
    return first, driver
