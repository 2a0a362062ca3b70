"""A family: a method with one knob, so that it is a curve and not a point."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from tools.bench.picture_quality.painter import Painter, Shot

Paint = Callable[[Painter, Shot, float], Tensor]
"""(painter, shot, knob) -> IMAGE (1, h, w, 3) of the shot's target size, in 0..1."""
TABLES = ("2x", "4x", "wide")


@dataclass(frozen=True)
class Family:
    """values: of the knob, one point of the curve each; knob "": a method without one, whose value is 0.

    note: what it does and what it leaves out of its paper, for the page.
    at_4x: the values of the tables other than 2x, if they are fewer.
    rank: 1 = without it nothing is answered, 3 = the first to be left out of a run that is cut short.
    of_renders: it needs a subject of which true images can be made.
    """

    name: str
    label: str
    knob: str
    values: tuple[float, ...]
    paint: Paint
    note: str
    rank: int = 2
    tables: tuple[str, ...] = ("2x", "4x")
    at_4x: tuple[float, ...] = ()
    of_renders: bool = False

    def values_in(self, table: str) -> tuple[float, ...]:
        return self.values if table == "2x" or not self.at_4x else self.at_4x


def without_knob(
    name: str, label: str, paint: Callable[[Painter, Shot], Tensor], note: str, **options: object
) -> Family:
    return Family(name, label, "", (0.0,), lambda painter, shot, knob: paint(painter, shot), note, **options)
