"""One progress bar over a whole cascade, with previews and the image of each finished stage."""

import time
from dataclasses import dataclass
from itertools import accumulate

import comfy.utils
import latent_preview
import numpy as np
from PIL import Image
from torch import Tensor

from ...freescale_core.geometry import LATENT_CELL, MIN_SCALE, Size, scale_between, scaled, to_tokens
from ...freescale_core.planning.cost import fused_cost, neighbourhood_pairs, transformer_cost, unet_operations
from ..host.releases import say_at_node
from ..host.types import Callback, Model
from .stages import Stage

PREVIEW_SIDE = 1024


@dataclass(frozen=True)
class StageWork:
    """What is left to sample of one stage of a cascade. number: 0 for the base; last: the number of the
    last."""

    number: int
    last: int
    size: Size
    stage: Stage

    @property
    def step_cost(self) -> float:
        """Of one sampler step, as SDXL's UNet would take it, or as a transformer does."""
        settings, backbone = self.stage.settings, self.stage.backbone
        if not backbone.is_unet:
            return self._transformer_cost
        base = settings.base_for(self.size)
        if settings.fusion is None or scale_between(base, self.size) < MIN_SCALE:
            return unet_operations(self.size)
        return fused_cost(base, self.size, settings.fusion.mode, settings.fusion.local)

    @property
    def _transformer_cost(self) -> float:
        settings, token = self.stage.settings, self.stage.backbone.multiple
        base, grid = to_tokens(settings.base_for(self.size), token), to_tokens(self.size, token)
        if not settings.neighbourhoods or scale_between(base, grid) < MIN_SCALE:
            return transformer_cost(grid.area)
        return transformer_cost(grid.area, pairs=neighbourhood_pairs(grid, base))

    def __str__(self) -> str:
        return (
            f"stage {self.number} of {self.last}, {self.size}" if self.number else f"base image, {self.size}"
        )


class CascadeProgress:
    """The bar of a cascade. It grows by what a step costs, so that half of it is about half of the time.

    A context manager: at its end the node says how long all took.
    """

    def __init__(self, model: Model, work: list[StageWork]) -> None:
        """work: of the stages that will be sampled, in order."""
        cheapest = min((part.step_cost for part in work), default=1.0)
        units = [max(1, round(part.step_cost / cheapest)) for part in work]
        shares = [part.stage.step_count() * unit for part, unit in zip(work, units, strict=True)]
        starts = accumulate(shares, initial=0)
        self._stages = zip(work, units, shares, starts, strict=False)
        self._total = max(1, sum(shares))
        self._done = 0
        self._bar = comfy.utils.ProgressBar(self._total)
        self._previewer = latent_preview.get_previewer(model.load_device, model.model.latent_format)
        self._begun = time.monotonic()

    def __enter__(self) -> "CascadeProgress":
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        seconds = _duration(time.monotonic() - self._begun)
        self.say(f"finished in {seconds}" if error is None else f"stopped after {seconds}")

    def say(self, text: str) -> None:
        """Show a text at the node."""
        say_at_node(text)

    def next_stage(self) -> Callback:
        """The sampler callback of the next stage."""
        work, unit, share, start = next(self._stages)
        begun = time.monotonic()
        self.say(str(work))

        def callback(step: int, x0: Tensor, x: Tensor, total_steps: int) -> None:
            # Some samplers report more steps than the schedule has.
            done = min(share, (step + 1) * unit)
            self._done = start + done
            left = (time.monotonic() - begun) / done * (self._total - self._done)
            self.say(f"{work}, about {_duration(left)} left")
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
        self._bar.update_absolute(self._done, self._total, ("JPEG", Image.fromarray(pixels), PREVIEW_SIDE))


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def small_latent(x0: Tensor) -> Tensor:
    """The first latent (b, c, h, w), or first frame of (b, c, t, h, w), shrunk to what a preview can show.

    Previewers decode all they get, in memory that stages need.
    """
    if x0.ndim == 5:
        return small_latent(x0[:, :, 0])[:, :, None]
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
