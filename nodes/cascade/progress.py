"""One progress bar over a whole cascade, with previews and the image of each finished stage."""

import time
from dataclasses import dataclass

import comfy.utils
import latent_preview
import numpy as np
from PIL import Image
from torch import Tensor

from ...freescale_core.geometry import LATENT_CELL, MIN_SCALE, Size, scale_between, scaled
from ...freescale_core.planning.cost import fused_cost, unet_operations
from ..host.releases import say_at_node
from ..host.types import Callback, Model
from .stages import Stage

PREVIEW_SIDE = 1024


@dataclass(frozen=True)
class StageWork:
    """What is left to sample of one stage of a cascade. number: 0 for the base."""

    number: int
    of: int
    size: Size
    stage: Stage

    @property
    def step_cost(self) -> float:
        """Of one sampler step, as SDXL's UNet would take it."""
        settings = self.stage.settings
        base = settings.base_for(self.size)
        if settings.fusion is None or scale_between(base, self.size) < MIN_SCALE:
            return unet_operations(self.size)
        return fused_cost(base, self.size, settings.fusion.mode)

    def __str__(self) -> str:
        return f"stage {self.number} of {self.of}, {self.size}" if self.number else f"base image, {self.size}"


class CascadeProgress:
    """The bar of a cascade. It grows by what a step costs, so that half of it is about half of the time."""

    def __init__(self, model: Model, work: list[StageWork]) -> None:
        """work: of the stages that will be sampled, in order."""
        cheapest = min((part.step_cost for part in work), default=1.0)
        self._work = iter([(part, max(1, round(part.step_cost / cheapest))) for part in work])
        self._total = sum(part.stage.step_count() * max(1, round(part.step_cost / cheapest)) for part in work)
        self._done = 0
        self._bar = comfy.utils.ProgressBar(max(1, self._total))
        self._previewer = latent_preview.get_previewer(model.load_device, model.model.latent_format)

    def next_stage(self) -> Callback:
        """The sampler callback of the next stage."""
        work, units = next(self._work)
        before, started = self._done, time.monotonic()
        say_at_node(str(work))

        def callback(step: int, x0: Tensor, x: Tensor, total_steps: int) -> None:
            self._done = before + (step + 1) * units
            pace = (time.monotonic() - started) / (self._done - before)
            say_at_node(f"{work}, about {_minutes(pace * (self._total - self._done))} left")
            preview = (
                self._previewer.decode_latent_to_preview_image("JPEG", small_latent(x0))
                if self._previewer
                else None
            )
            self._bar.update_absolute(self._done, self._total, preview)

        return callback

    def show(self, image: Tensor) -> None:
        """Show a finished stage's image (b, H, W, 3) under the node."""
        pixels = shrunk(image[:1])[0].clamp(0, 1).mul(255).cpu().numpy().astype(np.uint8)
        shown = "JPEG", Image.fromarray(pixels), PREVIEW_SIDE
        self._bar.update_absolute(self._done, max(1, self._total), shown)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def small_latent(x0: Tensor) -> Tensor:
    """The first latent (b, c, h, w), shrunk to what a preview can show.

    Previewers decode all they get, in memory that stages need.
    """
    return _within(x0[:1], PREVIEW_SIDE // LATENT_CELL)


def shrunk(image: Tensor) -> Tensor:
    """Images (b, H, W, 3) with no side above PREVIEW_SIDE."""
    return _within(image.movedim(-1, 1), PREVIEW_SIDE).movedim(1, -1)


def _within(x: Tensor, side: int) -> Tensor:
    """(b, c, h, w) with no side above `side`."""
    size = Size(*x.shape[-2:])
    if max(size) <= side:
        return x
    small = scaled(size, side / max(size), 1)
    return comfy.utils.common_upscale(x, small.width, small.height, "area", "disabled")
