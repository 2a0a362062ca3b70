"""Separable Gaussian low-pass over token grids, with zero padding."""

from functools import lru_cache

import torch
from einops import rearrange
from kornia.filters import filter2d, filter2d_separable, get_gaussian_kernel1d
from torch import Tensor

from .geometry import Size


def blur_tokens(x: Tensor, grid: Size, kernel_size: int, sigma: float, over_channels: bool) -> Tensor:
    """G of eq. 7: a Gaussian over (h, w), or over (h, w, channel) as the released code does.

    Args:
        x: (b, h*w, c). Computed in float32: half precision loses the small differences that are blurred here.
        grid: h, w in tokens.
        kernel_size: odd number of taps per axis. sigma: in tokens (and channels).

    Returns: (b, h*w, c) in the dtype of x.
    """
    if kernel_size == 1:
        return x
    taps = _taps(kernel_size, sigma, x.device)
    image = rearrange(x.float(), "b (h w) c -> b c h w", h=grid.height)
    image = filter2d_separable(image, taps, taps, border_type="constant")
    out = rearrange(image, "b c h w -> b (h w) c")
    if over_channels:
        # Tokens as the channels of an image of one row: far faster than one large image of one channel.
        out = filter2d(out[:, :, None], taps[:, None], border_type="constant")[:, :, 0]
    return out.to(x.dtype)


@lru_cache(maxsize=16)
def _taps(kernel_size: int, sigma: float, device: torch.device) -> Tensor:
    """(1, kernel_size), float32. Kept, since a copy to the device makes the host wait for it."""
    with torch.inference_mode(False):
        return get_gaussian_kernel1d(kernel_size, sigma).to(device)
