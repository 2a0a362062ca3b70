"""Scale fusion, eq. 7: global attention corrected by the low frequencies of local attention."""

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
