"""Makes the pictures that are missing and says how long it will still take."""

import time

import numpy as np
from torch import Tensor

from tools.bench.picture_quality.jobs import Job, base_key
from tools.bench.picture_quality.methods import Painter
from tools.bench.picture_quality.store import Store

PRINT_SECONDS = 20.0


def make(jobs: list[Job], painter: Painter, store: Store, deadline: float) -> int:
    """Make what is missing until `deadline` (time.monotonic); how many pictures are still missing then."""
    missing = [job for job in jobs if not store.has(job.key)]
    left, spent, done = sum(job.cost for job in missing), 0.0, 0.0
    print(f"  {len(jobs)} pictures, {len(jobs) - len(missing)} of them are there already", flush=True)
    start = said = time.monotonic()
    for count, job in enumerate(missing):
        if time.monotonic() > deadline:
            print(
                f"  time is up, {len(missing) - count} pictures are missing; the same command goes on with "
                "them",
                flush=True,
            )
            return len(missing) - count
        if not store.has(job.key):  # A second process may have made it by now.
            store.save(job.key, _made(job, painter, store))
        done, left, spent = done + job.cost, left - job.cost, time.monotonic() - start
        if time.monotonic() - said > PRINT_SECONDS or count + 1 == len(missing):
            said = time.monotonic()
            minutes = spent / 60, left * spent / done / 60
            print(
                f"  {count + 1}/{len(missing)} {job.group.name} {job.name}: {minutes[0]:.1f} min, "
                f"{minutes[1]:.1f} min left",
                flush=True,
            )
    return 0


def _made(job: Job, painter: Painter, store: Store) -> np.ndarray:
    def base() -> Tensor:
        return painter.base_latent(job.group, job.text, job.seed)["samples"]

    latent = {"samples": store.latent(base_key(job.group, job.text, job.seed), base)}
    if job.method is None:
        return painter.decoded(latent)
    return painter.picture(job.method, job.group, job.text, job.seed, latent)
