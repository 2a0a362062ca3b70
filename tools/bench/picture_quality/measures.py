"""The columns of a table, and what stands in a cell."""

from dataclasses import dataclass

OURS = "full"
KNOWN = ("base", "render")
"""Rows that are no methods: what the best values are."""


@dataclass(frozen=True)
class Measure:
    """One column. better: +1 more is better, -1 less is better, 0 neither (compare it with the row of true
    renders)."""

    label: str
    unit: float
    better: int


MEASURES = {
    "kid": Measure("KID of the whole", 1e-3, -1),
    "fd": Measure("FD of the whole", 1.0, -1),
    "kid_crops": Measure("KID of crops", 1e-3, -1),
    "fd_crops": Measure("FD of crops", 1.0, -1),
    "repetition": Measure("repetition", 1.0, -1),
    "consistency": Measure("consistency", 1.0, 1),
    "sharpness": Measure("sharpness", 1e-3, 0),
}


@dataclass(frozen=True)
class Figure:
    """value and its 95 % interval; difference: this row minus FreeScale, on the same pictures, with its 95 %
    interval."""

    value: float
    interval: tuple[float, float] | None = None
    difference: tuple[float, float, float] | None = None
