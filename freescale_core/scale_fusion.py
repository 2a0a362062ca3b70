"""Scale fusion, eq. 7: global attention corrected by the low frequencies of local attention."""

from collections.abc import Callable
from functools import partial

from einops import rearrange
from torch import Tensor

from .gaussian_blur import blur_rows
from .geometry import Size

BLUR_BYTES = 8
"""Temporaries of the blur per element that it reads: what goes into a product and what comes out, in float32."""
MOST_ROWS = 16
"""Rows are blurred by one dense product, whose cost per element grows with their number."""

Within = Callable[[Callable[[int], int]], int]
"""Calls step(bytes_at_once), and once more with a smaller bound if memory runs out."""


def fuse_(
    global_: Tensor, local: Tensor, grid: Size, kernel_size: int, sigma: float, over_channels: bool, within: Within | None = None
) -> Tensor:
    """G(local) + (global - G(global)) in place, as global + G(local - global): G is linear, so one blur is enough.

    Args:
        global_, local: (b, h*w, c). `global_` becomes the result, `local` is used up. Over (h, w) alone this may
            run before the output projection, which it commutes with; over (h, w, channel) it must run after it.
        within: says how many bytes the blur may take, which works on some rows of an image at a time;
            None = as many as `global_` has.

    Returns: `global_`.
    """
    tokens = (global_, local.sub_(global_))
    images = (rearrange(x, "b (h w) c -> b h w c", h=grid.height) for x in tokens)
    for image, difference in zip(*images, strict=True):
        top = 0
        while top < grid.height:
            step = partial(_add_low_, image, difference, top, kernel_size, sigma, over_channels)
            top = within(step) if within else step(global_.nbytes)
    return global_


def _add_low_(image: Tensor, difference: Tensor, top: int, kernel_size: int, sigma: float, over_channels: bool, bytes_at_once: int) -> int:
    """Add the blurred difference to as many rows as `bytes_at_once` allows, starting at `top`.

    Returns the first row not done yet. Safe to retry: nothing is written before the blur has succeeded.
    """
    reach = kernel_size // 2
    rows = bytes_at_once // (BLUR_BYTES * difference[0].numel()) - 2 * reach
    bottom = min(len(image), top + min(max(rows, 2 * reach, 1), MOST_ROWS))
    low = blur_rows(difference, top, bottom, kernel_size, sigma, over_channels)
    image[top:bottom].view(low.shape).add_(low.to(image.dtype))
    return bottom
