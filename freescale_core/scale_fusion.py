"""Scale fusion, eq. 7: global attention corrected by the low frequencies of local attention."""

import torch
from torch import Tensor

from .gaussian_blur import blur_tokens
from .geometry import Size


def fuse(global_: Tensor, local: Tensor, grid: Size, kernel_size: int, sigma: float, over_channels: bool) -> Tensor:
    """G(local) + (global - G(global)), computed as global + G(local - global): G is linear, so one blur is enough.

    Args:
        global_, local: (b, h*w, c). Over (h, w) alone this may run before the output projection, which it
            commutes with; over (h, w, channel) it must run after it.

    Returns: (b, h*w, c).
    """
    return global_ + blur_tokens(local - global_, grid, kernel_size, sigma, over_channels)


def fuse_in_parts(
    global_: Tensor, local: Tensor, grid: Size, kernel_size: int, sigma: float, over_channels: bool, channels_at_once: int
) -> Tensor:
    """`fuse`, some channels at a time: the same with less memory. A blur over channels sees kernel_size // 2 more of them per side."""
    reach = kernel_size // 2 if over_channels else 0
    parts = []
    for start in range(0, global_.shape[2], channels_at_once):
        low, end = max(0, start - reach), start + channels_at_once
        seen = slice(low, end + reach)
        part = fuse(global_[..., seen], local[..., seen], grid, kernel_size, sigma, over_channels)
        parts.append(part[..., start - low : end - low])
    return torch.cat(parts, dim=2)
