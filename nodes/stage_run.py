"""The facts of one sampler run at a size above the training size; every patch of the run reads them."""

import logging
from dataclasses import dataclass
from typing import Any

from ..freescale_core.geometry import MIN_SCALE, Size, blur_kernel_size, dilation_factor, level_of, level_size, scale_between, size_of_area
from ..freescale_core.settings import FreeScaleSettings
from ..freescale_core.windows import WindowGrid
from .host import LATENT_CELL

log = logging.getLogger("FreeScale")

SIGMA_KEY = "freescale_sigma"
"""transformer_options entry with the noise level of the model call, read from the device once per call."""


@dataclass(frozen=True)
class StageRun:
    """base, target: latent cells. A part is active while sigma is at or above its end sigma."""

    settings: FreeScaleSettings
    base: Size
    target: Size
    seed: int
    fusion_end_sigma: float
    dilation_end_sigma: float

    @property
    def scale(self) -> float:
        return scale_between(self.base, self.target)

    @property
    def dilation(self) -> int:
        return (self.settings.dilation and self.settings.dilation.factor) or dilation_factor(self.scale)

    @property
    def kernel_size(self) -> int:
        return (self.settings.fusion and self.settings.fusion.kernel_size) or blur_kernel_size(self.scale)

    def window_grid(self, grid: Size, full: Size) -> WindowGrid:
        """Windows of one UNet level. grid: its tokens; full: latent cells of the UNet's input (an area's, not the picture's)."""
        fusion = self.settings.fusion
        window = (fusion and fusion.window) or self.base
        return WindowGrid(grid, level_size(window, level_of(grid, full)), fusion is None or fusion.jitter)


def stage_run(settings: FreeScaleSettings, target: Size, model_sampling: Any, seed: int | None) -> StageRun | None:
    """The run for a latent of size `target` (cells), or None, said once, if that is the base size or below."""
    base_px = settings.base or size_of_area(settings.base_side, target, 64)
    base = Size(base_px.height // LATENT_CELL, base_px.width // LATENT_CELL)
    scale = scale_between(base, target)
    size_px = Size(target.height * LATENT_CELL, target.width * LATENT_CELL)
    if scale < MIN_SCALE:
        log.info("FreeScale: %s is %.2f times the base size %s, so this run is ordinary sampling.", size_px, scale, base_px)
        return None
    log.info("FreeScale: %s is %.2f times the base size %s.", size_px, scale, base_px)

    def end_sigma(part: Any) -> float:
        return float(model_sampling.percent_to_sigma(part.end_percent)) if part else 0.0

    return StageRun(settings, base, target, seed or 0, end_sigma(settings.fusion), end_sigma(settings.dilation))
