"""The fast global branch of scale fusion: attention inside strided sub-grids (the release's fast mode)."""

from collections.abc import Iterator, Sequence
from itertools import product

import torch
from torch import Tensor

from ..geometry import Size
from .attend import Attend, in_chunks

Places = Sequence[int]
"""Neighbouring rows or columns in which sub-grids begin."""


def strided_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    grid: Size,
    strides: Size,
    attend: Attend,
    out: Tensor | None = None,
    bytes_at_once: int | None = None,
) -> Tensor:
    """Attend inside each of the s_h * s_w sub-grids x[a::s_h, b::s_w].

    That costs 1 / (s_h * s_w) of full attention.

    Args:
        q, k, v: (b, h*w, c). grid: h, w in tokens. strides: s_h, s_w. Sub-grids may differ in size by one.
        out: (b, h*w, c), is overwritten with the result; None = a new tensor.
        bytes_at_once: bound of the temporaries, but at least one sub-grid; None = the size of v.

    Returns: (b, h*w, c), which is `out` if that was given.
    """
    out = torch.empty_like(v) if out is None else out
    bytes_per_part = 4 * v.nbytes // strides.area  # q, k, v and what attend returns
    for rows, columns in _groups(
        grid, strides, (v.nbytes if bytes_at_once is None else bytes_at_once) // max(1, bytes_per_part)
    ):
        places = subgrids(out, grid, strides, rows, columns)
        places.copy_(_attended((q, k, v), grid, strides, rows, columns, attend).view(places.shape))
    return out


def _attended(
    tensors: Sequence[Tensor], grid: Size, strides: Size, rows: Places, columns: Places, attend: Attend
) -> Tensor:
    """Results of some sub-grids. A function of its own, which frees q, k and v on return."""
    q, k, v = (subgrids(x, grid, strides, rows, columns).flatten(0, 2).flatten(1, 2) for x in tensors)
    return attend(q, k, v)


def subgrids(x: Tensor, grid: Size, strides: Size, rows: Places, columns: Places) -> Tensor:
    """View of the sub-grids that begin in some rows a and columns b: (a, b, batch, h, w, c).

    All of them are of one size.

    x: (batch, h*w, c), of which tokens and channels may have any stride.
    """
    per_image, per_token, per_channel = x.stride()
    height, width = (
        len(range(some[0], length, step))
        for some, length, step in zip((rows, columns), grid, strides, strict=True)
    )
    shape = (len(rows), len(columns), len(x), height, width, x.shape[2])
    down, right = grid.width * per_token, per_token
    steps = (down, right, per_image, strides.height * down, strides.width * right, per_channel)
    return x.as_strided(shape, steps, x.storage_offset() + rows[0] * down + columns[0] * right)


def _groups(grid: Size, strides: Size, max_subgrids: int) -> Iterator[tuple[Places, Places]]:
    """Yields first rows and first columns of some sub-grids of one size.

    At most `max_subgrids` at a time, or one.
    """
    for rows, columns in product(
        *(_of_one_size(length, step) for length, step in zip(grid, strides, strict=True))
    ):
        for some_rows in in_chunks(rows, max_subgrids // len(columns)):
            few = len(some_rows) == 1
            for some_columns in in_chunks(columns, max_subgrids if few else len(columns)):
                yield some_rows, some_columns


def _of_one_size(length: int, step: int) -> list[range]:
    """The places 0 ... step - 1, those whose sub-grid has one token more along the axis first."""
    longer = length % step
    return [some for some in (range(longer), range(longer, step)) if some]
