"""What a cascade is going to do, before anything runs."""

import dataclasses
from dataclasses import dataclass
from typing import Literal, get_args

from ..geometry import LATENT_CELL, MAX_SIDE, MIN_BASE_SIDE, MIN_SCALE, Size, enlarged, scale_between, scaled
from ..settings import Method
from .kinds import KINDS, SDXL

MAX_SCALE = 16.0
Tiling = Literal["auto", "on", "off"]
LATENT_METHOD: Method = "latent bilinear"
"""For videos, whose stages grow without the VAE (CineScale)."""
METHODS: tuple[str, ...] = get_args(Method)
TILINGS: tuple[str, ...] = get_args(Tiling)
LATENT = "latent "
"""Begins the names of methods that need no VAE."""
MAX_SHOWN = 40
"""Characters of a bad text that an error message repeats."""


@dataclass(frozen=True)
class CascadePlan:
    """base: the training size; stages: sizes of stages 1, 2, ...; both in pixels.

    restart: share of the noise (of t) that stages >= 1 skip, None = the preset's.
    steps, sampler_name, scheduler: of stages >= 1, None = as in stage 0.
    upscale_model: whatever the host resizes images with before `method`, or None.
    frames: of a video, 1 = an image. kind: of model, a name of `kinds.KINDS`. Both count in what the plan
    says of cost and memory, and nowhere else.
    """

    base: Size
    stages: tuple[Size, ...]
    restart: float | None = None
    method: Method = "bicubic"
    tiling: Tiling = "auto"
    steps: int | None = None
    sampler_name: str | None = None
    scheduler: str | None = None
    upscale_model: object | None = None
    frames: int = 1
    kind: str = SDXL

    def __post_init__(self) -> None:
        self._check_sizes()
        if self.restart is not None and not 0 <= self.restart < 1:
            raise ValueError(
                f"FreeScale plan: expected restart from 0 to below 1, got {self.restart}: choose a number in "
                "between"
            )
        if self.frames < 1:
            raise ValueError(
                f"FreeScale plan: expected at least one frame, got {self.frames}: choose 1 for an image"
            )
        if self.upscale_model is not None and is_of_latents(self.method):
            raise ValueError(
                f"FreeScale plan: expected a method for images beside an upscale model, got {self.method}: "
                "choose another method or disconnect the upscale model"
            )
        for value, known in ((self.method, METHODS), (self.tiling, TILINGS), (self.kind, KINDS)):
            if value not in known:
                raise ValueError(
                    f"FreeScale plan: expected one of {', '.join(known)}, got {value}: choose one of the list"
                )

    def rounded(self, multiple: int) -> "CascadePlan":
        """The plan with sides in multiples of `multiple` pixels, for networks whose tokens are larger."""
        stages = tuple(scaled(size, 1.0, multiple) for size in self.stages)
        return self if stages == self.stages else dataclasses.replace(self, stages=stages)

    def _check_sizes(self) -> None:
        if not self.stages:
            raise ValueError("FreeScale plan: expected at least one stage, got none: choose a larger target")
        if min(self.base) < MIN_BASE_SIDE:
            raise ValueError(
                f"FreeScale plan: expected a base size of at least {MIN_BASE_SIDE}x{MIN_BASE_SIDE} pixels, "
                f"got {self.base}: "
                "set the size the model was trained for"
            )
        for size in (self.base, *self.stages):
            if any(side % LATENT_CELL for side in size):
                raise ValueError(
                    f"FreeScale plan: expected sizes in multiples of {LATENT_CELL} pixels, got {size}: round "
                    "it"
                )
        largest = max(self.base, *self.stages, key=max)
        if max(largest) > MAX_SIDE:
            raise ValueError(
                f"FreeScale plan: expected at most {MAX_SIDE} pixels a side, got {largest}: choose a smaller "
                "target or factor"
            )
        for size, later in zip(self.stages, self.stages[1:], strict=False):
            if scale_between(size, later) < MIN_SCALE:
                raise ValueError(
                    f"FreeScale plan: expected each stage at least {MIN_SCALE} times the one before, got "
                    f"{size} -> {later}: "
                    "enlarge the later one"
                )
        target = self.stages[-1]
        if scale_between(self.base, target) < MIN_SCALE:
            raise ValueError(
                f"FreeScale plan: expected a target at least {MIN_SCALE} times the base size, got "
                f"{self.base} -> {target}: "
                "enlarge the target"
            )


def is_of_latents(method: str) -> bool:
    """Whether a method enlarges latents, and not images."""
    return method.startswith(LATENT)


def shortened(text: str) -> str:
    """The text as an error message repeats it: its beginning, if it is long.

    >>> len(shortened("2, 4, " * 1000))
    43
    """
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "..."


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
            f'FreeScale plan: expected factors from {MIN_SCALE} to {MAX_SCALE} such as "2, 4", '
            f'got "{shortened(factors)}": separate them by commas'
        )
    return tuple(enlarged(base, number) for number in numbers)
