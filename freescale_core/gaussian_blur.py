"""Separable Gaussian low-pass over token grids, with zero padding."""

from einops import rearrange
from kornia.filters import filter2d, gaussian_blur2d, get_gaussian_kernel1d
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
    image = rearrange(x.float(), "b (h w) c -> b c h w", h=grid.height)
    image = gaussian_blur2d(image, (kernel_size, kernel_size), (sigma, sigma), border_type="constant")
    out = rearrange(image, "b c h w -> b (h w) c")
    if over_channels:
        kernel = get_gaussian_kernel1d(kernel_size, sigma, device=out.device, dtype=out.dtype)
        out = filter2d(out[:, None], kernel[:, None, :], border_type="constant")[:, 0]
    return out.to(x.dtype)
