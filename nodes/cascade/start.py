"""What a cascade begins with: an empty latent, a finished latent or a finished image."""

import logging
from dataclasses import dataclass

from torch import Tensor

from ...freescale_core.geometry import LATENT_CELL, Size, to_pixels
from ..host.releases import empty_latent_for, without_grid_hints
from ..host.types import LatentDict, Model

log = logging.getLogger("FreeScale")


@dataclass(frozen=True)
class FromLatent:
    """Stage 0 as a latent: finished, or empty and still to be sampled."""

    latent: LatentDict
    is_empty: bool
    source: Tensor
    """The samples as they came in, or the frames of a video that came in as an image."""
    cell: int = LATENT_CELL
    """Pixels of a latent cell."""

    @property
    def size(self) -> Size:
        """In pixels."""
        return to_pixels(Size(*self.latent["samples"].shape[-2:]), self.cell)


@dataclass(frozen=True)
class FromImage:
    """Any image (b, H, W, 3) in place of stage 0. source: the image as it came in."""

    source: Tensor
    image: Tensor

    @property
    def size(self) -> Size:
        """In pixels."""
        return Size(*self.image.shape[1:3])


Start = FromLatent | FromImage


def start_from(
    model: Model, latent: LatentDict | None, image: Tensor | None, cell: int = LATENT_CELL
) -> Start:
    """Decide once what came in. Exactly one of latent and image is given. cell: of the MODEL's latents."""
    if latent is None:
        assert image is not None
        return FromImage(source=image, image=image[..., :3])
    if not latent["samples"].any():
        empty = without_grid_hints(latent)
        empty["samples"] = empty_latent_for(model, latent)
        return FromLatent(empty, is_empty=True, source=latent["samples"], cell=cell)
    if latent.get("noise_mask") is not None:
        log.info(
            "FreeScale: the latent with a noise mask counts as the finished stage 0: it is not inpainted "
            "now, "
            "later stages only refine it inside the mask."
        )
    return FromLatent(latent, is_empty=False, source=latent["samples"], cell=cell)
