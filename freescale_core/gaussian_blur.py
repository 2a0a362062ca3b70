"""Gaussian low-pass over token grids, with zero padding."""

from functools import lru_cache

import torch
import torch.nn.functional as F
from einops import rearrange
from kornia.filters import get_gaussian_kernel1d
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
    # Three by three taps in one pass over the tokens, more of them in one pass along each axis.
    kernels = [torch.outer(taps, taps)] if kernel_size == 3 else [taps[None, :], taps[:, None]]
    # The convolutions pad by themselves: kornia's filters would copy the tokens first.
    image = rearrange(x.float(), "b (h w) c -> b c h w", h=grid.height)
    for kernel in kernels:
        image = F.conv2d(image, _per_channel(kernel, image), padding="same", groups=image.shape[1])
    out = rearrange(image, "b c h w -> b (h w) c")
    if over_channels:
        # Tokens as the channels of a row: far faster than one large image of one channel.
        out = F.conv1d(out, _per_channel(taps, out), padding="same", groups=out.shape[1])
    return out.to(x.dtype)


def _per_channel(taps: Tensor, image: Tensor) -> Tensor:
    """The same taps for every channel of an image (b, c, ...), as a convolution in c groups wants them."""
    return taps.expand(image.shape[1], 1, *taps.shape)


@lru_cache(maxsize=16)
def _taps(kernel_size: int, sigma: float, device: torch.device) -> Tensor:
    """(kernel_size,), float32. Kept, since a copy to the device makes the host wait for it."""
    with torch.inference_mode(False):
        return get_gaussian_kernel1d(kernel_size, sigma)[0].to(device)
