"""The facts of one sampler run at a size above the training size; every patch of the run reads them."""

import logging
from dataclasses import dataclass, field
from typing import Any

from ..freescale_core.geometry import (
    MIN_SCALE,
    Size,
    blur_kernel_size,
    dilation_factor,
    level_of,
    level_size,
    scale_between,
    to_cells,
    to_pixels,
)
from ..freescale_core.settings import DilationSettings, FreeScaleSettings, FusionSettings
from ..freescale_core.windows import WindowGrid
from .noise_level import timestep

log = logging.getLogger("FreeScale")


@dataclass(frozen=True)
class StageRun:
    """base, target: latent cells of the training size and of the run.

    A model call is judged by its own size, which is smaller than the run's for tiles, crops and areas.
    model_sampling: says which timestep a noise level is; None counts as an ordinary SDXL.
    """

    settings: FreeScaleSettings
    base: Size
    target: Size
    seed: int
    model_sampling: Any = field(default=None, repr=False)

    def acts_on(self, size: Size) -> bool:
        """Whether a model call on `size` latent cells is above the training size."""
        return scale_between(self.base, size) >= MIN_SCALE

    def is_on(self, part: FusionSettings | DilationSettings | None, sigma: float) -> bool:
        """Whether a part acts at a noise level: while t >= (1 - end_percent) * 1000."""
        return part is not None and timestep(self.model_sampling, sigma) >= part.end_timestep

    @property
    def fusion(self) -> FusionSettings:
        """The settings of scale fusion; the product's own where it is off."""
        return self.settings.fusion or FusionSettings()

    def dilation_of(self, size: Size) -> int:
        """d of eq. 5 for a model call on `size` latent cells."""
        return (self.settings.dilation and self.settings.dilation.factor) or dilation_factor(scale_between(self.base, size))

    def kernel_size_of(self, size: Size) -> int:
        """k of eq. 7 for a model call on `size` latent cells."""
        return self.fusion.kernel_size or blur_kernel_size(scale_between(self.base, size))

    def window_grid(self, grid: Size, full: Size) -> WindowGrid:
        """Windows of one UNet level. grid: its tokens; full: latent cells of the model call."""
        window = self.fusion.window or self.base
        return WindowGrid(grid, level_size(window, level_of(grid, full)), self.fusion.jitter)


def stage_run(settings: FreeScaleSettings, target: Size, model_sampling: Any, seed: int | None) -> StageRun | None:
    """The run for a latent of size `target` (cells). None, and logs why, if that is less than MIN_SCALE times the base size."""
    base_px = settings.base_for(target)
    run = StageRun(settings, to_cells(base_px), target, seed or 0, model_sampling)
    scale = scale_between(run.base, target)
    size_px = to_pixels(target)
    if not run.acts_on(target):
        log.info("FreeScale: %s is %.2f times the base size %s, so this run is ordinary sampling.", size_px, scale, base_px)
        return None
    log.info("FreeScale: %s is %.2f times the base size %s.", size_px, scale, base_px)
    return run
