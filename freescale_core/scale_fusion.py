"""Scale fusion, eq. 7: global attention corrected by the low frequencies of local attention."""

import sys
from collections.abc import Callable
from functools import partial

from einops import rearrange
from torch import Tensor

from .gaussian_blur import ROWS_AT_ONCE, blur_rows, rows_held
from .geometry import Size

BLUR_TENSORS = 2
"""Temporaries of the blur, as large as the rows it holds: what goes into a product and what comes out."""

Within = Callable[[Callable[[int], int]], int]
"""Calls step(bytes_at_once), and once more with a smaller bound if memory runs out."""


def fuse_(
    global_: Tensor, local: Tensor, grid: Size, kernel_size: int, sigma: float, over_channels: bool, within: Within | None = None
) -> Tensor:
    """G(local) + (global - G(global)) in place, as global + G(local - global): G is linear, so one blur is enough.

    Args:
        global_, local: (b, h*w, c). `global_` becomes the result, `local` is used up. Over (h, w) alone this may
            run before the output projection, which it commutes with; over (h, w, channel) it must run after it.
        within: says how many bytes the blur may take, which works on some rows of all images at a time;
            None = all rows at once.

    Returns: `global_`.
    """
    tokens = (global_, local.sub_(global_))
    images, differences = (rearrange(x, "b (h w) c -> b h w c", h=grid.height) for x in tokens)
    top = 0
    while top < grid.height:
        step = partial(_add_low_, images, differences, top, kernel_size, sigma, over_channels)
        top = within(step) if within else step(sys.maxsize)
    return global_


def _add_low_(
    images: Tensor, differences: Tensor, top: int, kernel_size: int, sigma: float, over_channels: bool, bytes_at_once: int
) -> int:
    """Add the blurred differences to as many rows as `bytes_at_once` allows, starting at `top`.

    Returns the first row not done yet. Safe to retry: nothing is written before the blur has succeeded.
    """
    reach = kernel_size // 2
    held = (bytes_at_once // differences[:, 0].nbytes - 2 * reach) // BLUR_TENSORS // ROWS_AT_ONCE * ROWS_AT_ONCE
    # At least as many rows as are read around them.
    rows = max(held, rows_held(max(1, 2 * reach), reach)) - 2 * reach
    bottom = min(images.shape[1], top + rows)
    low = blur_rows(differences, top, bottom, kernel_size, sigma, over_channels)
    images[:, top:bottom].view(low.shape).add_(low)
    return bottom
