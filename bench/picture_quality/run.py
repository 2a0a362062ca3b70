"""Makes the pictures that are missing and says how long it will still take."""

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from .methods import as_bytes, base_latent, decoded, picture
from .settings import PROMPTS, STEPS, Group, Method
from .store import Key, Store

PRINT_SECONDS = 20.0


@dataclass(frozen=True)
class Job:
    """One picture. method None: the base picture."""

    group: Group
    name: str
    method: Method | None
    text: str
    seed: int

    @property
    def key(self) -> Key:
        if self.method is None:
            return base_key(self.group.base, self.text, self.seed)
        made = dataclasses.asdict(self.method)
        del made["label"]
        return {"text": self.text, "seed": self.seed, "base": self.group.base, "stages": self.group.stages, "method": made}

    @property
    def cost(self) -> float:
        """In seconds of two cores; only ratios count."""
        if self.method is None or self.method.kind == "direct":
            return STEPS * step_cost(self.group.base if self.method is None else self.group.target)
        if self.method.kind == "lanczos":
            return 0.1
        return sum(self.method.steps * (1 - self.method.restart) * step_cost(size) for size in self.group.stages)


def step_cost(size: tuple[int, int]) -> float:
    return 0.05 * (size[0] * size[1] / 256**2) ** 1.2


def base_key(size: tuple[int, int], text: str, seed: int) -> Key:
    return {"text": text, "seed": seed, "base": size}


def texts(count: int) -> list[str]:
    return [f"{concept} {place}" for concept, place in PROMPTS[:count]]


def base_jobs(group: Group, prompts: int, seeds: Sequence[int]) -> list[Job]:
    return [Job(group, "base", None, text, seed) for seed in seeds for text in texts(prompts)]


def method_jobs(groups: Sequence[Group], prompts: int) -> list[Job]:
    """Seed by seed, so that a run that ends early has equally many pictures of every method."""
    jobs = []
    for number in range(max(len(group.seeds) for group in groups)):
        for group in groups:
            for seed in group.seeds[number : number + 1]:
                jobs += [Job(group, name, method, text, seed) for text in texts(prompts) for name, method in group.methods.items()]
    return jobs


def make(jobs: list[Job], store: Store, deadline: float) -> int:
    """Make what is missing until `deadline` (time.monotonic); how many pictures are still missing then."""
    missing = [job for job in jobs if not store.has(job.key)]
    left, spent, done = sum(job.cost for job in missing), 0.0, 0.0
    print(f"  {len(jobs)} pictures, {len(jobs) - len(missing)} of them are there already", flush=True)
    start = said = time.monotonic()
    for count, job in enumerate(missing):
        if time.monotonic() > deadline:
            print(f"  time is up, {len(missing) - count} pictures are missing; the same command goes on with them", flush=True)
            return len(missing) - count
        store.save(job.key, _made(job, store))
        done, left, spent = done + job.cost, left - job.cost, time.monotonic() - start
        if time.monotonic() - said > PRINT_SECONDS or count + 1 == len(missing):
            said = time.monotonic()
            minutes = spent / 60, left * spent / done / 60
            print(f"  {count + 1}/{len(missing)} {job.group.name} {job.name}: {minutes[0]:.1f} min, {minutes[1]:.1f} min left", flush=True)
    return 0


def _made(job: Job, store: Store) -> np.ndarray:
    base = {"samples": store.latent(base_key(job.group.base, job.text, job.seed), lambda: _base(job))}
    if job.method is None:
        return as_bytes(decoded(base))
    return picture(job.method, job.group, job.text, job.seed, base)


def _base(job: Job) -> Tensor:
    return base_latent(job.text, job.seed, job.group.base)["samples"]
