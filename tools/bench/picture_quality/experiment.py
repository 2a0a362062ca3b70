"""What is made: a checkpoint, prompts and seeds, tables of sizes, and in which order."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tools.bench.picture_quality.families.family import Family
from tools.bench.picture_quality.painter import SAMPLER, SCHEDULER, Pixels, Sampling
from tools.bench.picture_quality.store import Key

DEMO_PROMPTS = (
    ("tiger", "on a green background"),
    ("house", "in a meadow"),
    ("panda", "on a yellow background"),
    ("red car", "on a gray background"),
    ("owl", "at night"),
    ("robot", "on a blue background"),
    ("penguin", "on a teal background"),
    ("rocket", "at night"),
    ("sunflower", "on a white background"),
    ("fox", "in a meadow"),
    ("castle", "on a pink background"),
    ("frog", "on a purple background"),
    ("snowman", "on a brown background"),
    ("ladybug", "on a orange background"),
    ("red apple", "on a blue background"),
    ("bus", "in a meadow"),
    ("sailboat", "on a teal background"),
    ("cactus", "on a yellow background"),
    ("mushroom", "at night"),
    ("strawberry", "on a white background"),
)
"""(concept, place), as tools/demo/train/concepts.py names them: everything the demo model knows."""
REFERENCE_SEED = 1000
"""References have seeds from here on, the compared images seeds below."""
ROUND = 10
"""Images of a point that are made before the other points of its rank and table get theirs."""
TITLES = {
    "2x": "2x: {size} from {base}",
    "4x": "4x: {size} from {base} in two stages",
    "wide": "Wide, 2x: {size} from {base}",
}


@dataclass(frozen=True)
class Subject:
    """The model that is looked at. side: its training size in pixels. renders: true images of the prompts
    exist."""

    checkpoint: Path
    side: int
    prompts: tuple[str, ...]
    sampling: Sampling
    renders: bool

    @property
    def key(self) -> Key:
        return {"sampling": list(self.sampling), "sampler": SAMPLER, "scheduler": SCHEDULER}


class Extent(NamedTuple):
    """Images of a point, one seed over all prompts after the other.

    small: one value of every knob, and outside a family's first table those of rank 1 alone.
    """

    at_2x: int
    elsewhere: int
    references: int
    small: bool = False


FULL = Extent(at_2x=40, elsewhere=20, references=80)
SMOKE = Extent(at_2x=2, elsewhere=2, references=2, small=True)


@dataclass(frozen=True)
class Table:
    """Images of one size. images: wanted for each point."""

    name: str
    base: Pixels
    stages: tuple[Pixels, ...]
    images: int

    @property
    def target(self) -> Pixels:
        return self.stages[-1]

    @property
    def title(self) -> str:
        base, size = ("x".join(map(str, sides)) for sides in (self.base, self.target))
        return TITLES[self.name].format(base=base, size=size)


@dataclass(frozen=True)
class Point:
    """One value of a family's knob."""

    family: Family
    value: float

    @property
    def name(self) -> str:
        return f"{self.family.name}_{self.value:g}" if self.family.knob else self.family.name

    @property
    def label(self) -> str:
        return (
            f"{self.family.label}, {self.family.knob} {self.value:g}"
            if self.family.knob
            else self.family.label
        )


@dataclass(frozen=True)
class Job:
    """One image. point None: the base image."""

    table: Table
    point: Point | None
    text: str
    seed: int

    @property
    def base_key(self) -> Key:
        return {"text": self.text, "seed": self.seed, "base": list(self.table.base)}

    @property
    def key(self) -> Key:
        return self.base_key | ({} if self.point is None else self.point_key)

    @property
    def point_key(self) -> Key:
        """What its cost follows from."""
        return {"stages": [list(size) for size in self.table.stages], "point": self.point and self.point.name}


def tables(side: int, extent: Extent) -> tuple[Table, ...]:
    square, wide = (side, side), (_round(side * 1.25), _round(side * 0.75))
    twice, fourfold = (2 * side, 2 * side), (4 * side, 4 * side)
    return (
        Table("2x", square, (twice,), extent.at_2x),
        Table("4x", square, (twice, fourfold), extent.elsewhere),
        Table("wide", wide, ((2 * wide[0], 2 * wide[1]),), extent.elsewhere),
    )


def _round(side: float) -> int:
    return max(64, round(side / 64) * 64)


def points(table: Table, families: Sequence[Family], extent: Extent) -> list[Point]:
    wanted = [family for family in families if table.name in family.tables]
    if not extent.small:
        return [Point(family, value) for family in wanted for value in family.values_in(table.name)]
    return [
        Point(family, family.values_in(table.name)[0])
        for family in wanted
        if table.name == family.tables[0] or family.rank == 1
    ]


def shots(subject: Subject, count: int, first_seed: int = 100) -> list[tuple[str, int]]:
    """(prompt, seed): all prompts with one seed, then with the next; stage r samples with seed + r."""
    numbers = (divmod(i, len(subject.prompts)) for i in range(count))
    return [(subject.prompts[i], first_seed + 100 * seed) for seed, i in numbers]


def references(subject: Subject, table: Table, extent: Extent) -> list[Job]:
    """Base images of other seeds: what the model draws at its own size."""
    return [Job(table, None, *shot) for shot in shots(subject, extent.references, REFERENCE_SEED)]


def plan(subject: Subject, some: Sequence[Table], families: Sequence[Family], extent: Extent) -> list[Job]:
    """All jobs, so ordered that a run that is cut short still answers the most important questions.

    Base images first, since nothing is judged without them. Then rank by rank, within a rank table by table,
    and within a table in rounds of ROUND images a point. A table other than 2x counts as one rank later.
    """
    once: dict[str, Job] = {}
    ordered: list[tuple[int, int, int, Job]] = []
    for number, table in enumerate(some):
        asked = shots(subject, table.images)
        for job in (*(Job(table, None, *shot) for shot in asked), *references(subject, table, extent)):
            once.setdefault(str(job.key), job)
        for point in points(table, families, extent):
            rank = point.family.rank + (table.name != "2x")
            ordered += [(rank, number, i // ROUND, Job(table, point, *shot)) for i, shot in enumerate(asked)]
    for *_, job in sorted(ordered, key=lambda item: item[:3]):
        once.setdefault(str(job.key), job)
    return list(once.values())
