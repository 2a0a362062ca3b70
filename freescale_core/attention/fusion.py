"""Scale fusion, eq. 7: global attention corrected by the low frequencies of local attention."""

import sys
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from einops import rearrange
from torch import Tensor

from ..geometry import Size
from .blur import ROWS_AT_ONCE, Gaussian, blur_rows, rows_apart

BLUR_TENSORS = 2
"""Temporaries of the blur, as large as the rows it holds: what goes into a product and what comes out."""


class Place(NamedTuple):
    """Where the blur goes on: an image of the batch, a row of it."""

    image: int
    row: int


RetryOnOom = Callable[[Callable[[int], Place]], Place]
"""Calls step(bytes_at_once), and once more with a smaller bound if memory runs out."""


def fuse_(
    global_out: Tensor, local_out: Tensor, grid: Size, gaussian: Gaussian, retry: RetryOnOom | None = None
) -> Tensor:
    """Compute G(local) + (global - G(global)) in place.

    As global + G(local - global): G is linear, so one blur is enough.

    Args:
        global_out, local_out: results of both branches, (b, h*w, c). `global_out` becomes the result,
            `local_out` is used up. Over (h, w) alone this may run before the output projection, which it
            commutes with; over (h, w, channel) it must run after it.
        retry: says how many bytes the blur may take, which works on some rows at a time; None = all rows at
            once.

    Returns: `global_out`.
    """
    tokens = (global_out, local_out.sub_(global_out))
    images, differences = (rearrange(x, "b (h w) c -> b h w c", h=grid.height) for x in tokens)
    place = Place(0, 0)
    while place.image < len(images):
        step = partial(_add_low_, images, differences, place, gaussian)
        place = retry(step) if retry else step(sys.maxsize)
    return global_out


def _add_low_(
    images: Tensor, differences: Tensor, place: Place, gaussian: Gaussian, bytes_at_once: int
) -> Place:
    """Add the blurred differences from `place` on.

    To several images if those fit into `bytes_at_once` whole, else to as many rows of one as fit. Returns the
    first place not done yet. Safe to retry: nothing is written before the blur has succeeded.
    """
    reach, height = gaussian.reach, images.shape[1]
    # The rows read are those written and `reach` more on both sides; both kinds count against the bound.
    read = bytes_at_once // differences[0, 0].nbytes
    many = (
        1
        if place.row
        else max(1, min(len(images) - place.image, read // BLUR_TENSORS // rows_apart(height, reach, 2)))
    )
    rows = max((read - 2 * reach) // BLUR_TENSORS // ROWS_AT_ONCE * ROWS_AT_ONCE, ROWS_AT_ONCE)
    top, bottom = place.row, height if many > 1 else min(height, place.row + rows)
    some = slice(place.image, place.image + many)
    low = blur_rows(differences[some], top, bottom, gaussian)
    images[some, top:bottom].view(low.shape).add_(low)
    return Place(place.image, bottom) if bottom < height else Place(place.image + many, 0)
