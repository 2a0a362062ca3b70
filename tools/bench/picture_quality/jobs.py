"""Which pictures are to be made, in which order."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from tools.bench.picture_quality.settings import PROMPTS, Group, Method
from tools.bench.picture_quality.store import Key


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
            return base_key(self.group, self.text, self.seed)
        made = dataclasses.asdict(self.method)
        del made["label"], made["against"]
        return base_key(self.group, self.text, self.seed) | {"stages": self.group.stages, "method": made}

    @property
    def cost(self) -> float:
        """In seconds of two cores; only ratios count."""
        if self.method is None or self.method.kind == "direct":
            return self.group.steps * step_cost(self.group.base if self.method is None else self.group.target)
        if self.method.kind == "lanczos":
            return 0.1
        return sum(
            self.method.steps * (1 - self.method.restart) * step_cost(size) for size in self.group.stages
        )


def step_cost(size: tuple[int, int]) -> float:
    return 0.05 * (size[0] * size[1] / 256**2) ** 1.2


def base_key(group: Group, text: str, seed: int) -> Key:
    return {"text": text, "seed": seed, "base": group.base, "steps": group.steps}


def texts(count: int) -> list[str]:
    return [f"{concept} {place}" for concept, place in PROMPTS[:count]]


def base_jobs(group: Group, seeds: Sequence[int]) -> list[Job]:
    return [Job(group, "base", None, text, seed) for seed in seeds for text in texts(group.prompts)]


def method_jobs(groups: Sequence[Group]) -> list[Job]:
    """Seed by seed, so that a run that ends early has equally many pictures of every method."""
    jobs = []
    for number in range(max(len(group.seeds) for group in groups)):
        for group in groups:
            for seed in group.seeds[number : number + 1]:
                jobs += [
                    Job(group, name, method, text, seed)
                    for text in texts(group.prompts)
                    for name, method in group.methods.items()
                ]
    return jobs
