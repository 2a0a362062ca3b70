"""A cheaper local branch: patches of queries that do not overlap, over neighbourhoods of keys that do."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import product

import torch
from einops import rearrange
from torch import Tensor

from ..geometry import Size
from .attend import Attend, in_chunks
from .gather import WindowTables, by_window, gather
from .windows import Window, cut

NO_PAD = Size(0, 0)
INDEXED_COPY_DEVICES = ("cuda", "xpu", "meta")
"""Device types on which one indexed copy is faster than a copy for each patch.

On Apple's GPUs it searches all indices for each element (PyTorch up to 2.13) or does not exist (before 2.8).
CPUs copy slices faster.
"""


def neighbourhoods(grid: Size, window: Size) -> list[tuple[Window, Window]]:
    """(queries, keys) row by row: patches of half a window that tile the grid, and the window around each.

    A window at the border is moved inwards, so that all have the same number of keys. The last patch of an
    axis that half a window does not divide is moved inwards, too, and covers some tokens a second time.
    """
    rows, columns = (_axis(length, size) for length, size in zip(grid, window, strict=True))
    return [
        (Window(*row_queries, *column_queries), Window(*row_keys, *column_keys))
        for (row_queries, row_keys), (column_queries, column_keys) in product(rows, columns)
    ]


def attended_pairs(grid: Size, window: Size) -> int:
    """How many pairs of a query and a key that makes: every patch, by all tokens of its window."""
    patch = Size(*(max(1, side // 2) for side in window))
    patches = Size(*(-(-length // side) for length, side in zip(grid, patch, strict=True)))
    return patches.area * patch.area * window.area


def neighbourhood_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    grid: Size,
    window: Size,
    attend: Attend,
    out: Tensor | None = None,
    bytes_at_once: int | None = None,
) -> Tensor:
    """Attend from each patch of queries to the window of keys around it.

    That costs s^2 / (2s - 1)^2 of overlapping windows.

    Args:
        q, k, v: (b, h*w, c), already projected. grid: h, w in tokens. window: of keys, not larger than the
            grid.
        out: (b, h*w, c), is overwritten with the result; None = a new tensor.
        bytes_at_once: bound of the temporaries, but at least one patch; None = the size of v.

    Returns: (b, h*w, c), which is `out` if that was given. Nothing is averaged: every token gets one result.
    """
    out = v.new_empty(v.shape) if out is None else out
    pairs = neighbourhoods(grid, window)
    patch, keys = (part.size for part in pairs[0])
    bytes_per_patch = 2 * (patch.area + keys.area) * v[:, 0].nbytes  # q and what attend returns; k and v
    bytes_at_once = v.nbytes if bytes_at_once is None else bytes_at_once
    tables = _tables(grid, window, v.device)
    for some in in_chunks(range(len(pairs)), bytes_at_once // bytes_per_patch):
        chunk = slice(some[0], some[-1] + 1)
        to_queries, to_keys = (table.indices(chunk, len(q)) for table in tables)
        parts = _attended((q, k, v), to_queries, to_keys, patch, keys, attend)
        # Patches that overlap are stored in order, since an indexed copy would store either of two results on
        # a GPU.
        apart = all(length % side == 0 for length, side in zip(grid, patch, strict=True))
        if apart and out.device.type in INDEXED_COPY_DEVICES:
            out.view(-1, out.shape[2]).index_copy_(0, to_queries, parts.flatten(0, 1).to(out.dtype))
        else:
            _put_(out, parts, grid, [queries for queries, _ in pairs[chunk]])
    return out


def _attended(
    tensors: Sequence[Tensor], to_queries: Tensor, to_keys: Tensor, patch: Size, keys: Size, attend: Attend
) -> Tensor:
    """Results of some patches. A function of its own, which frees q, k and v on return."""
    q, k, v = tensors
    return attend(gather(q, to_queries, patch), gather(k, to_keys, keys), gather(v, to_keys, keys))


def _put_(out: Tensor, parts: Tensor, grid: Size, patches: Sequence[Window]) -> None:
    places = rearrange(out, "b (h w) c -> b h w c", h=grid.height)
    for patch, part in zip(patches, by_window(parts, patches), strict=True):
        cut(places, patch).copy_(part)


@lru_cache(maxsize=16)
def _tables(grid: Size, window: Size, device: torch.device) -> Sequence[WindowTables]:
    """Tables of patches and of their neighbourhoods.

    Cached across runs, therefore created outside inference mode.
    """
    with torch.inference_mode(False):
        return [
            WindowTables(part, grid, NO_PAD, device)
            for part in zip(*neighbourhoods(grid, window), strict=True)
        ]


def _axis(length: int, window: int) -> Sequence[tuple[tuple[int, int], tuple[int, int]]]:
    """((first, end) of queries, (first, end) of keys) along one axis."""
    patch = max(1, window // 2)
    pairs = []
    for start in range(0, length, patch):
        first = min(start, length - patch)
        key = min(max(0, first - (window - patch) // 2), length - window)
        pairs.append(((first, first + patch), (key, key + window)))
    return pairs
