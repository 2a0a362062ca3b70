"""The table of a group: every method by every measure, and its difference from another row."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from tools.bench.picture_quality import settings
from tools.bench.picture_quality.features import features, frechet, kernel
from tools.bench.picture_quality.figures import Figure, figure, kid, mean, weights_of
from tools.bench.picture_quality.jobs import Done, Job, base_jobs
from tools.bench.picture_quality.metrics import as_tensor, consistency, repetition, resized, sharpness
from tools.bench.picture_quality.settings import OURS, Extent, Group
from tools.bench.picture_quality.store import Store
from tools.demo.train.pictures import render_picture

PLACES = {f"{concept} {place}": (concept, place) for concept, place in settings.PROMPTS}
Pictures = Callable[[], Iterator[Tensor]]
"""Makes (1, 3, h, w) in 0..1 one after the other: a table has more of them than fit in memory."""


def table_of(group: Group, extent: Extent, done: Done, store: Store) -> dict[str, dict[str, Figure]]:
    """Rows are the methods, the base pictures and true renders, all over the same prompts and seeds."""

    def stored(jobs: Iterable[Job]) -> Iterator[Tensor]:
        return (as_tensor(store.picture(job.key)) for job in jobs)

    def rendered(wheres: Iterable[tuple[str, int]]) -> Iterator[Tensor]:
        return (as_tensor(render_picture(*PLACES[text], group.target[::-1], seed)) for text, seed in wheres)

    def shrunk(pictures: Iterable[Tensor]) -> Iterator[Tensor]:
        return (resized(picture, group.base[::-1]) for picture in pictures)

    known = base_jobs(group, settings.REFERENCE_SEEDS[: extent.reference_seeds])
    renders = rendered((job.text, job.seed) for job in known)
    judge = Judge(group, [text for text, _ in done], stored(known), renders)
    bases: Pictures = lambda: stored(jobs["base"] for jobs in done.values())  # noqa: E731
    samples = {
        "base": judge.samples(bases, None),
        "render": judge.samples(lambda: rendered(done), lambda: shrunk(rendered(done))),
    }
    for name in group.methods:
        samples[name] = judge.samples(lambda n=name: stored(jobs[n] for jobs in done.values()), bases)
        print(f"  judged {group.name} {name}", flush=True)
    return {name: _figures(found, samples[_other(group, name)]) for name, found in samples.items()}


def _other(group: Group, name: str) -> str:
    """The row that a row is compared with."""
    return group.methods[name].against if name in group.methods else OURS


def _figures(found: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> dict[str, Figure]:
    return {measure: figure(sample, other.get(measure)) for measure, sample in found.items()}


class Judge:
    """Knows what rows are compared with: the model's own base pictures, and true renders, of other seeds."""

    def __init__(
        self, group: Group, prompts: list[str], bases: Iterable[Tensor], renders: Iterable[Tensor]
    ) -> None:
        self.group, self.weights = group, weights_of(prompts)
        self.whole, self.crops = self._seen(bases, self._shrunk), self._seen(renders, self._cut)

    def samples(self, pictures: Pictures, bases: Pictures | None) -> dict[str, np.ndarray]:
        """By measure. bases: the base pictures, or None for a row that has none."""
        group, weights = self.group, self.weights
        found = self._distances("", self._seen(pictures(), self._shrunk), self.whole, 1)
        if next(pictures()).shape[2:] == group.target[::-1]:
            crops = (group.target[0] // group.base[0]) * (group.target[1] // group.base[1])
            found |= self._distances("_crops", self._seen(pictures(), self._cut), self.crops, crops)
            found["sharpness"] = mean([sharpness(p, group.base[::-1]) for p in pictures()], weights)
        if bases is not None:
            for name, measure in (("repetition", repetition), ("consistency", consistency)):
                found[name] = mean(
                    [measure(*pair) for pair in zip(pictures(), bases(), strict=True)], weights
                )
        return found

    def _distances(self, suffix: str, made: Tensor, known: Tensor, crops: int) -> dict[str, np.ndarray]:
        kernels = (kernel(a, b).numpy() for a, b in ((made, made), (made, known), (known, known)))
        return {
            f"kid{suffix}": kid(*kernels, crops, self.weights),
            f"fd{suffix}": np.array([frechet(known, made)]),
        }

    def _shrunk(self, picture: Tensor) -> Tensor:
        return resized(picture, self.group.base[::-1])

    def _cut(self, picture: Tensor) -> Tensor:
        """Tiles of the base size, as they are."""
        width, height = self.group.base
        return rearrange(picture, "1 c (y h) (x w) -> (y x) c h w", h=height, w=width)

    def _seen(self, pictures: Iterable[Tensor], prepare: Callable[[Tensor], Tensor]) -> Tensor:
        return torch.cat([features(prepare(picture)) for picture in pictures])
