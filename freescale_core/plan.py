"""What a cascade is going to do, before anything runs."""

from dataclasses import dataclass
from typing import Literal

from .geometry import MIN_SCALE, Size, scale_between, scaled

PIXELS_PER_CELL = 8
MAX_SCALE = 16.0


@dataclass(frozen=True)
class CascadePlan:
    """base: the training size; stages: sizes of stages 1, 2, ...; both in pixels.

    restart: share of the schedule that stages >= 1 skip, None = the preset's.
    steps, sampler_name, scheduler: of stages >= 1, None = as in stage 0.
    upscale_model: whatever the host resizes pictures with before `method`, or None.
    """

    base: Size
    stages: tuple[Size, ...]
    restart: float | None = None
    method: Literal["bicubic", "lanczos"] = "bicubic"
    tiling: Literal["auto", "on", "off"] = "auto"
    steps: int | None = None
    sampler_name: str | None = None
    scheduler: str | None = None
    upscale_model: object | None = None

    def __post_init__(self) -> None:
        sizes = (self.base, *self.stages)
        shown = " -> ".join(map(str, sizes))
        if not self.stages:
            raise ValueError("FreeScale plan: expected at least one stage, got none: choose a larger target")
        if any(side % PIXELS_PER_CELL for size in sizes for side in size):
            raise ValueError(f"FreeScale plan: expected sizes in multiples of 8 pixels, got {shown}: round them")
        if any(scale_between(size, later) < MIN_SCALE for size, later in zip(self.stages, self.stages[1:], strict=False)):
            raise ValueError(
                f"FreeScale plan: expected each stage at least {MIN_SCALE} times the one before, got {shown}: enlarge the later ones"
            )
        if scale_between(self.base, self.stages[-1]) < MIN_SCALE:
            raise ValueError(f"FreeScale plan: expected a target at least {MIN_SCALE} times the base size, got {shown}: enlarge the target")
        if self.restart is not None and not 0 <= self.restart < 1:
            raise ValueError(f"FreeScale plan: expected restart from 0 to below 1, got {self.restart}")
        for value, known in ((self.method, ("bicubic", "lanczos")), (self.tiling, ("auto", "on", "off"))):
            if value not in known:
                raise ValueError(f"FreeScale plan: expected one of {', '.join(known)}, got {value}: choose one of the list")


def stages_by_factors(base: Size, factors: str) -> tuple[Size, ...]:
    """Stage sizes from a list such as "1.5, 3": factors over `base` (pixels).

    Raises:
        ValueError: an entry is no number from 1.1 to 16.
    """
    try:
        numbers = [float(part) for part in factors.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(MIN_SCALE <= number <= MAX_SCALE for number in numbers):
        raise ValueError(
            f'FreeScale plan: expected factors from {MIN_SCALE} to {MAX_SCALE} such as "2, 4", got "{factors}": separate them by commas'
        )
    return tuple(scaled(base, number, PIXELS_PER_CELL) for number in numbers)
