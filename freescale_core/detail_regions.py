"""Region-aware detail control: alpha of eq. 4 as a map."""

import math

import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor

from .geometry import Size
from .masks import repeat_to, resize_masks
from .settings import DetailRegion


def alpha_map(outside: float, regions: tuple[DetailRegion, ...], batch: int, size: Size) -> Tensor:
    """alpha <- mask * alpha_region + (1 - mask) * alpha, region after region: a later one lies on top of those before it.

    Layers, because every region then has its own alpha wherever its mask is 1, whatever lies below, and the order decides what
    overlaps; a mean or a maximum would give values that nobody asked for.

    Args:
        outside: alpha where no region is.
        batch: pictures; fewer masks are repeated.
        size: the stage's latent grid.

    Returns: (batch, 1, *size), float64 on the CPU, so that a region equals a run with its alpha to the bit.
    """
    alpha = torch.full((batch, *size), outside, dtype=torch.float64)
    for region in regions:
        mask = repeat_to(_on_grid(region, size), batch)
        alpha = mask * region.alpha + (1.0 - mask) * alpha
    return alpha[:, None]


def _on_grid(region: DetailRegion, size: Size) -> Tensor:
    """The region's masks on the latent grid, with their soft edge: (b, *size)."""
    mask = region.mask.double().cpu()
    mask = resize_masks((mask != 0).double() if region.binary else mask, size, nearest=region.binary)
    sigma = region.feather * min(size) / 4.0  # An edge blurred by sigma goes from 2 % to 98 % within 4 sigma.
    if sigma == 0:
        return mask
    taps = 2 * math.ceil(3.0 * sigma) + 1
    return gaussian_blur2d(mask[:, None], (taps, taps), (sigma, sigma), border_type="replicate")[:, 0]
