"""Which pictures are to be made, in which order, and their making."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from tools.bench.picture_quality import settings
from tools.bench.picture_quality.settings import Extent, Group, Method
from tools.bench.picture_quality.store import Key, Store

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
    def base_key(self) -> Key:
        return {"text": self.text, "seed": self.seed, "base": self.group.base, "steps": self.group.steps}

    @property
    def key(self) -> Key:
        if self.method is None:
            return self.base_key
        made = asdict(self.method)
        del made["label"], made["against"]
        return self.base_key | {"stages": self.group.stages, "method": made}

    @property
    def cost(self) -> float:
        """In seconds of two cores; only ratios count."""
        if self.method is None or self.method.kind == "direct":
            return self.group.steps * _step_cost(self.group.target if self.method else self.group.base)
        if self.method.kind == "lanczos":
            return 0.1
        steps = self.method.steps * (1 - self.method.restart)
        return steps * sum(map(_step_cost, self.group.stages))


Done = dict[tuple[str, int], dict[str, Job]]
"""(prompt, seed) -> its jobs by method, the base picture's among them."""


def _step_cost(size: tuple[int, int]) -> float:
    return 0.05 * (size[0] * size[1] / 256**2) ** 1.2


def _texts(count: int) -> list[str]:
    return [f"{concept} {place}" for concept, place in settings.PROMPTS[:count]]


def base_jobs(group: Group, seeds: Sequence[int]) -> list[Job]:
    return [Job(group, "base", None, text, seed) for seed in seeds for text in _texts(group.prompts)]


def method_jobs(groups: Sequence[Group]) -> list[Job]:
    """Seed by seed, so that a run that ends early has equally many pictures of every method."""
    return [
        Job(group, name, method, text, seed)
        for seed in settings.SEEDS
        for group in groups
        if seed in group.seeds
        for text in _texts(group.prompts)
        for name, method in group.methods.items()
    ]


def shown_bases(group: Group) -> list[Job]:
    """One base picture of every prompt."""
    return base_jobs(replace(group, prompts=len(settings.PROMPTS)), settings.SEEDS[:1])


def all_jobs(shown: list[Job], groups: Sequence[Group], extent: Extent) -> list[Job]:
    """`shown`, then references, since no table can do without them.

    Tables may share pictures: each comes once.
    """
    references = settings.REFERENCE_SEEDS[: extent.reference_seeds]
    known = [job for group in groups for job in base_jobs(group, (*references, *group.seeds))]
    # A run that ends early has the short tables at least.
    short_first = sorted(groups, key=lambda group: len(group.seeds))
    once: dict[str, Job] = {}
    for job in (*shown, *known, *method_jobs(short_first)):
        once.setdefault(str(job.key), job)
    return list(once.values())


def complete(group: Group, store: Store) -> Done:
    """The jobs of the prompts and seeds of which all pictures are there."""
    found: Done = {}
    for job in [*base_jobs(group, group.seeds), *method_jobs([group])]:
        found.setdefault((job.text, job.seed), {})[job.name] = job
    return {where: jobs for where, jobs in found.items() if all(store.has(job.key) for job in jobs.values())}


def make(jobs: Sequence[Job], painter: Any, store: Store, deadline: float) -> int:
    """Make what is missing until `deadline` (time.monotonic); how many pictures are still missing then."""
    missing = [job for job in jobs if not store.has(job.key)]
    print(f"  {len(jobs)} pictures, {len(jobs) - len(missing)} of them are there already", flush=True)
    left, done, latent_of, latent = sum(job.cost for job in missing), 0.0, None, None
    start = said = time.monotonic()
    for count, job in enumerate(missing):
        if time.monotonic() > deadline:
            print(f"  time is up, {len(missing) - count} pictures are missing; the same command makes them")
            return len(missing) - count
        if not store.has(job.key):  # A second process may have made it by now.
            if latent_of != job.base_key:
                latent_of, latent = job.base_key, painter.base_latent(job.group, job.text, job.seed)
            store.save(job.key, painter.picture(job.method, job.group, job.text, job.seed, latent))
        done, now = done + job.cost, time.monotonic()
        if now - said > PRINT_SECONDS or count + 1 == len(missing):
            said, spent = now, (now - start) / 60
            rest = spent * (left - done) / done
            print(
                f"  {count + 1}/{len(missing)} {job.group.name} {job.name}: {spent:.1f} min, {rest:.1f} left"
            )
    return 0
