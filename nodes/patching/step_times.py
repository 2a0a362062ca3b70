"""How long a step of the base image takes on this server, noted in every run of a patched MODEL."""

import time
from dataclasses import dataclass

from torch import Tensor

from ...freescale_core.geometry import MIN_SCALE, Size, scale_between
from ...freescale_core.planning.cost import fused_cost, unet_operations
from ...freescale_core.settings import FreeScaleSettings
from ..host.types import Callback

MAX_KNOWN = 64
"""Sizes that are kept; the oldest go."""


@dataclass(frozen=True)
class BaseTime:
    """step_seconds: of one step for one image; steps: of the last base image, None = not known."""

    step_seconds: float
    steps: int | None


class StepTimes:
    """Seconds of a step by kind of model and base size (pixels), the last ones that were noted."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, Size], BaseTime] = {}

    def note(self, kind: str, base: Size, found: BaseTime) -> None:
        earlier = self._known.pop((kind, base), None)
        steps = earlier.steps if found.steps is None and earlier is not None else found.steps
        self._known[kind, base] = BaseTime(found.step_seconds, steps)
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]

    def of(self, kind: str, base: Size) -> BaseTime | None:
        return self._known.get((kind, base))

    def clear(self) -> None:
        self._known.clear()


STEP_TIMES = StepTimes()
"""Of this process."""


class StepClock:
    """The callback of a run, with a clock in it.

    The first step is left out: it loads weights and chooses kernels.
    """

    def __init__(self, callback: Callback | None) -> None:
        self._callback = callback
        self._first: float | None = None
        self._last = 0.0
        self._steps = 0

    def __call__(self, step: int, x0: Tensor, x: Tensor, total_steps: int) -> None:
        self._last = time.monotonic()
        if self._first is None:
            self._first = self._last
        else:
            self._steps += 1
        if self._callback is not None:
            self._callback(step, x0, x, total_steps)

    def step_seconds(self) -> float | None:
        """None after fewer than two steps."""
        if self._first is None or not self._steps:
            return None
        return (self._last - self._first) / self._steps


def note_run(
    kind: str, settings: FreeScaleSettings, size: Size, images: int, steps: int | None, clock: StepClock
) -> None:
    """Note a finished run: `images` images of `size` (pixels). steps: see `schedule_steps`.

    A run above the base size counts as what the base would have taken by the plan's cost.
    """
    seconds = clock.step_seconds()
    if seconds is None:
        return
    base = settings.base_for(size)
    cost = unet_operations(size)
    if settings.fusion is not None and scale_between(base, size) >= MIN_SCALE:
        cost = fused_cost(base, size, settings.fusion.mode, settings.fusion.local)
    of_base = seconds / images * unet_operations(base) / cost
    STEP_TIMES.note(kind, base, BaseTime(of_base, steps))


def schedule_steps(settings: FreeScaleSettings, run_steps: int, is_empty: bool) -> int | None:
    """How many steps the base image has, by those of one run; None = the run does not tell.

    is_empty: the run began with an empty latent, so it was the whole schedule. A later stage skips the
    restart's share of it, unless the speed gives it a shorter one.
    """
    if is_empty:
        return run_steps
    whole = round(run_steps / (1 - settings.restart))
    return None if settings.max_later_steps and whole >= settings.max_later_steps else whole
