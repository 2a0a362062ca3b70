"""Detail control, eq. 4: while sampling, pull x towards the noised, upsampled latent.

alpha says how soon to let go: a number, or a map made of regions.
"""

import math

import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor

from .geometry import Size
from .masks import repeat_to, resize_masks
from .schedule import TIMESTEPS, timestep_of
from .settings import DetailRegion


def blend_weight(sigma: float, alpha: float | Tensor) -> float | Tensor:
    """c = ((1 + cos(pi (1000 - t) / 1000)) / 2)^alpha, 0 <= c <= 1 (eq. 4).

    alpha ("cosine scale"): a number or a map that broadcasts against the latent. Larger alpha: c decays
    sooner, hence more new detail and less hold on the upsampled image.
    """
    return weight_at(timestep_of(sigma), alpha)


def weight_at(t: float, alpha: float | Tensor) -> float | Tensor:
    """c of eq. 4 at the timestep t."""
    c = (1.0 + math.cos(math.pi * (TIMESTEPS - t) / TIMESTEPS)) / 2.0
    return c**alpha if isinstance(alpha, float | int) else torch.pow(c, alpha)


def blend_(x: Tensor, reference: Tensor, weight: float | Tensor) -> Tensor:
    """x <- (1 - c) x + c reference, in place (eq. 4).

    In place because the sampler's own state must change, not only what the model sees.
    x, reference: (b, c, h, w). reference is z0 noised to the level of x by the model's own noise scaling:
    z0 + sigma eps for EPS, v-prediction and EDM, (1 - sigma) z0 + sigma eps for flow.
    """
    # Cast a map to x's dtype only after computing 1 - c in float64, so that a constant map gives the same
    # bits as a number.
    rest, weight = (c.to(x) if isinstance(c, Tensor) else c for c in (1.0 - weight, weight))
    return x.copy_(rest * x + weight * reference)


def alpha_map(outside: float, regions: tuple[DetailRegion, ...], batch: int, size: Size) -> Tensor:
    """alpha <- mask * alpha_region + (1 - mask) * alpha, region after region.

    A later region lies on top of those before it.

    Layers, because every region then has its own alpha wherever its mask is 1, whatever lies below, and the
    order decides what overlaps; a mean or a maximum would give values that nobody asked for.

    Args:
        outside: alpha where no region is.
        batch: images; fewer masks are repeated.
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
