"""Scale fusion, eq. 7: global attention corrected by the low frequencies of local attention."""

from collections.abc import Callable
from functools import partial

from torch import Tensor

from .gaussian_blur import blur_tokens
from .geometry import Size

BLUR_BYTES = 12
"""Temporaries of the blur per element: three float32 copies."""

Within = Callable[[Callable[[int], int]], int]
"""within(step) -> step(bytes_at_once). Repeats the step with less where memory ran out."""


def fuse_(
    global_: Tensor, local: Tensor, grid: Size, kernel_size: int, sigma: float, over_channels: bool, within: Within | None = None
) -> Tensor:
    """G(local) + (global - G(global)) in place, as global + G(local - global): G is linear, so one blur is enough.

    Args:
        global_, local: (b, h*w, c). `global_` becomes the result, `local` is used up. Over (h, w) alone this may
            run before the output projection, which it commutes with; over (h, w, channel) it must run after it.
        within: says how many bytes the blur may take, which works on some rows of the grid at a time;
            None = as many as `global_` has.

    Returns: `global_`.
    """
    difference, top = local.sub_(global_), 0
    while top < grid.height:
        step = partial(_add_low_, global_, difference, grid, top, kernel_size, sigma, over_channels)
        top = within(step) if within else step(global_.nbytes)
    return global_


def _add_low_(
    global_: Tensor, difference: Tensor, grid: Size, top: int, kernel_size: int, sigma: float, over_channels: bool, bytes_at_once: int
) -> int:
    """global_ += G(difference) on as many rows from `top` on as fit; the first row that is left. Nothing has changed if it raises."""
    width, reach = grid.width, kernel_size // 2
    rows = bytes_at_once // (BLUR_BYTES * width * global_[:, 0].numel()) - 2 * reach
    bottom = min(grid.height, top + max(rows, 2 * reach, 1))
    first, end = max(0, top - reach), min(grid.height, bottom + reach)  # what the blur of these rows reads
    low = blur_tokens(difference[:, first * width : end * width], Size(end - first, width), kernel_size, sigma, over_channels)
    global_[:, top * width : bottom * width].add_(low[:, (top - first) * width : (bottom - first) * width])
    return bottom
