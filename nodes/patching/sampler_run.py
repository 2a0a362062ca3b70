"""The facts of one sampler run at a size above the training size; every patch of the run reads them."""

import logging
from dataclasses import dataclass, field

from ...freescale_core.geometry import LATENT_CELL, MIN_SCALE, Size, scale_between, to_cells, to_pixels
from ...freescale_core.settings import DilationSettings, FreeScaleSettings, FusionSettings, RopeSettings
from ..host.noise_level import timestep
from ..host.types import ModelSampling

log = logging.getLogger("FreeScale")


@dataclass(frozen=True)
class SamplerRun:
    """base, target: latent cells of the training size and of the run.

    A model call is judged by its own size, which is smaller than the run's for tiles, crops and areas.
    model_sampling: says which timestep a noise level is; None counts as an ordinary SDXL.
    """

    base: Size
    target: Size
    seed: int
    model_sampling: ModelSampling | None = field(default=None, repr=False)
    cell: int = LATENT_CELL
    """Pixels of a latent cell."""

    def acts_on(self, size: Size) -> bool:
        """Whether a model call on `size` latent cells is above the training size."""
        return self.scale_of(size) >= MIN_SCALE

    def scale_of(self, size: Size) -> float:
        """s of a model call on `size` latent cells."""
        return scale_between(self.base, size)

    def is_on(self, part: FusionSettings | DilationSettings | RopeSettings, sigma: float) -> bool:
        """Whether a part acts at a noise level: while t >= (1 - end_percent) * 1000."""
        return timestep(self.model_sampling, sigma) >= part.end_timestep


def sampler_run(
    settings: FreeScaleSettings,
    target: Size,
    model_sampling: ModelSampling | None,
    seed: int | None,
    cell: int = LATENT_CELL,
) -> SamplerRun | None:
    """The run for a latent of size `target`, in cells of `cell` pixels.

    Returns None, and logs why, when the latent is less than MIN_SCALE times the base size.
    """
    base_px, size_px = settings.base_for(target), to_pixels(target, cell)
    run = SamplerRun(to_cells(base_px, cell), target, seed or 0, model_sampling, cell)
    scale = run.scale_of(target)
    if not run.acts_on(target):
        log.info(
            "FreeScale: %s is %.2f times the base size %s, so this run is ordinary sampling.",
            size_px,
            scale,
            base_px,
        )
        return None
    log.info("FreeScale: %s is %.2f times the base size %s.", size_px, scale, base_px)
    return run
