"""One progress bar over a whole cascade, with previews and the image of each finished stage."""

from collections.abc import Callable
from itertools import accumulate
from typing import Any

import comfy.utils
import latent_preview
import numpy as np
from PIL import Image
from torch import Tensor

from ...freescale_core.geometry import LATENT_CELL, Size, scaled

PREVIEW_SIDE = 1024


class CascadeProgress:
    """steps: sampler steps of each stage that is sampled, in order."""

    def __init__(self, model: Any, steps: list[int]) -> None:
        self._total = sum(steps)
        self._starts = iter([0, *accumulate(steps)][:-1])
        self._done = 0
        self._bar = comfy.utils.ProgressBar(self._total)
        self._previewer = latent_preview.get_previewer(model.load_device, model.model.latent_format)

    def next_stage(self) -> Callable[[int, Tensor, Tensor, int], None]:
        """The sampler callback of the next stage."""
        start = next(self._starts)

        def callback(step: int, x0: Tensor, x: Tensor, total_steps: int) -> None:
            self._done = start + step + 1
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
