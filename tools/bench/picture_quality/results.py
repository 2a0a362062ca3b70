"""What the images of one table show: a row for every point, and verdicts on it against other curves."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from tools.bench.picture_quality.curves import Samples, Verdict, curve_at, standing, verdicts
from tools.bench.picture_quality.experiment import (
    Extent,
    Job,
    Point,
    Subject,
    Table,
    points,
    references,
    shots,
)
from tools.bench.picture_quality.families import OURS, REFERENCE, RELATIVES, TILES
from tools.bench.picture_quality.families.family import Family
from tools.bench.picture_quality.figures import Figure, figure, weights_of
from tools.bench.picture_quality.finished import Finished
from tools.bench.picture_quality.judge import Judge
from tools.bench.picture_quality.store import Store

CURVES = (REFERENCE, *RELATIVES, OURS, TILES)
"""quality.json holds how every point stands to each of them."""
LEAST_IMAGES = 2
Asked = tuple[str, int]
"""(prompt, seed)."""


class Results:
    """finished: points that need no images any more."""

    def __init__(
        self,
        subject: Subject,
        table: Table,
        families: Sequence[Family],
        extent: Extent,
        store: Store,
        finished: Finished,
    ) -> None:
        self.table, self._subject, self._store = table, subject, store
        self._finished, self._memory = finished, {}
        self._verdicts: dict[tuple[str, str], dict[str, Verdict]] = {}
        self._all = tuple(shots(subject, table.images))
        self._known = [job for job in references(subject, table, extent) if store.has(job.key)]
        asked = [shot for shot in self._all if store.has(Job(table, None, *shot).key)]
        self._jobs: dict[str, dict[Asked, Job]] = {}
        self.points: dict[str, Point] = {}
        for point in points(table, families, extent):
            jobs = {shot: Job(table, point, *shot) for shot in self._all}
            made = {shot: jobs[shot] for shot in asked if store.has(jobs[shot].key)}
            if self._is_finished(point.name):
                made = jobs
            elif not self._known:
                continue
            if len(made) >= LEAST_IMAGES:
                self.points[point.name], self._jobs[point.name] = point, made

    @cached_property
    def _judge(self) -> Judge:
        return Judge(self._subject, self.table, self._known, self._store)

    def _is_finished(self, name: str) -> bool:
        return self._finished.has(self.table.name, name)

    @cached_property
    def families(self) -> dict[str, list[str]]:
        """Family -> names of its points, in the order of the knob."""
        found: dict[str, list[str]] = {}
        for name, point in self.points.items():
            found.setdefault(point.family.name, []).append(name)
        return found

    def __bool__(self) -> bool:
        return bool(self.points)

    def images(self, name: str) -> int:
        return len(self._jobs[name])

    def job(self, name: str, shot: Asked) -> Job:
        return self._jobs[name][shot]

    @property
    def complete(self) -> list[str]:
        """The points that have all their images."""
        return [name for name in self.points if self.images(name) == len(self._all)]

    def shots(self, *names: str) -> tuple[Asked, ...]:
        """Those of which all the points have an image."""
        first, *rest = (self._jobs[name] for name in names)
        return tuple(shot for shot in first if all(shot in other for other in rest))

    def figures(self, name: str) -> dict[str, Figure]:
        return {measure: figure(sample) for measure, sample in self.samples(name).items()}

    def samples(self, name: str) -> Samples:
        return self._samples(name, self.shots(name))

    def cost(self, name: str) -> dict[str, float]:
        """UNet calls and FLOPs of an image."""
        if self._is_finished(name):
            return self._finished.cost(self.table.name, name)
        return self._store.cost(next(iter(self._jobs[name].values())).point_key) or {}

    def against(self, name: str, family: str) -> dict[str, Verdict]:
        """A point against a family's curve, on the images that all of these points share."""
        if (name, family) not in self._verdicts:
            curve = self.families.get(family, [])
            self._verdicts[name, family] = verdicts(*self._paired(name, curve))
        return self._verdicts[name, family]

    def standing(self, name: str, family: str) -> str:
        return standing(*self._paired(name, self.families.get(family, [])))

    def difference(self, name: str, other: str, measure: str) -> Figure | None:
        """A point minus another one, as they stand, on the images that both have."""
        point, others = self._paired(name, [other] if other in self.points else [])
        return figure(point[measure] - others[0][measure]) if others else None

    def cost_ratio(self, name: str, family: str = REFERENCE) -> float | None:
        """FLOPs of the point over those of the family at equal sharpness."""
        names = self._countable(name, self.families.get(family, []))
        point, curve = self._paired(name, names)
        if len(curve) < 2:
            return None
        flops = [self.cost(other).get("flops", np.nan) for other in names]
        first = [
            {"sharpness": one["sharpness"][:1], "flops": np.array([f])}
            for one, f in zip(curve, flops, strict=True)
        ]
        theirs = curve_at("sharpness", first, "flops", point["sharpness"][:1])[0]
        found = float(self.cost(name).get("flops", np.nan) / theirs)
        return found if np.isfinite(found) else None

    def as_data(self) -> dict[str, Any]:
        rows = {
            name: {
                **{
                    m: {"value": _plain(f.value), "interval": [_plain(f.low), _plain(f.high)]}
                    for m, f in figures
                },
                "label": point.label,
                "images": self.images(name),
                "cost": self.cost(name),
                "against": {
                    family: found
                    for family in CURVES
                    if family != point.family.name and (found := self._stands_to(name, family))
                },
            }
            for name, point in self.points.items()
            for figures in [self.figures(name).items()]
        }
        return {"base": self.table.base, "stages": self.table.stages, "rows": rows}

    def _stands_to(self, name: str, family: str) -> dict[str, Any]:
        return {
            m: [*map(_plains, v[:2]), v.word, [*map(_plains, v.second)]]
            for m, v in self.against(name, family).items()
        }

    def _countable(self, name: str, others: list[str]) -> list[str]:
        """Those of the other points that a point can be held against.

        A finished one's draws are over all its images, so then only points that have all of theirs count.
        """
        if not any(map(self._is_finished, (name, *others))):
            return others
        return [other for other in others if other in self.complete] if name in self.complete else []

    def _paired(self, name: str, others: list[str]) -> tuple[Samples, list[Samples]]:
        others = self._countable(name, others)
        shared = self.shots(name, *others)
        if not others or len(shared) < LEAST_IMAGES:
            return {}, []
        return self._samples(name, shared), [self._samples(other, shared) for other in others]

    def _samples(self, name: str, shared: tuple[Asked, ...]) -> Samples:
        if self._is_finished(name):
            return self._finished.samples(self.table.name, name)
        if (name, shared) not in self._memory:
            jobs = [self._jobs[name][shot] for shot in shared]
            self._memory[name, shared] = self._judge.samples(jobs, weights_of([text for text, _ in shared]))
        return self._memory[name, shared]


def _plains(values: Sequence[float]) -> list[float | None]:
    return [*map(_plain, values)]


def _plain(value: float) -> float | None:
    """For JSON, which knows no "not a number"."""
    return round(value, 6) if np.isfinite(value) else None
