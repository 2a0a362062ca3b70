"""What a cascade is going to do, before anything runs."""

from dataclasses import dataclass
from typing import Literal

from .geometry import Size


@dataclass(frozen=True)
class CascadePlan:
    """base: the training size; stages: sizes of stages 1, 2, ...; both in pixels. restart: share of the schedule skipped."""

    base: Size
    stages: tuple[Size, ...]
    restart: float = 0.3
    method: Literal["bicubic", "lanczos"] = "bicubic"
    tiling: Literal["auto", "on", "off"] = "auto"

    def __post_init__(self) -> None:
        if not self.stages:
            raise ValueError("FreeScale plan: expected at least one stage, got none: choose a larger target")
        if any(side % 8 for size in (self.base, *self.stages) for side in size):
            sizes = " -> ".join(map(str, (self.base, *self.stages)))
            raise ValueError(f"FreeScale plan: expected sizes in multiples of 8 pixels, got {sizes}: round them")
        if not 0 <= self.restart < 1:
            raise ValueError(f"FreeScale plan: expected restart from 0 to below 1, got {self.restart}")
