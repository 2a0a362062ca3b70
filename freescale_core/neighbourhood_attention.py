"""A cheaper local branch: patches of queries that do not overlap, over neighbourhoods of keys that do."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import product

import torch
from einops import rearrange
from torch import Tensor

from .geometry import Size
from .window_attention import Attend, cut, in_chunks
from .window_gather import by_window, corner_indices, gather_windows
from .windows import Window

NO_PAD = Size(0, 0)


def neighbourhoods(grid: Size, window: Size) -> list[tuple[Window, Window]]:
    """(queries, keys) row by row: patches of half a window that tile the grid, and the window around each.

    A window at the border is moved inwards, so that all have the same number of keys. The last patch of an axis
    that half a window does not divide is moved inwards, too, and covers some tokens a second time.
    """
    rows, columns = (_axis(length, size) for length, size in zip(grid, window, strict=True))
    return [
        (Window(*row_queries, *column_queries), Window(*row_keys, *column_keys))
        for (row_queries, row_keys), (column_queries, column_keys) in product(rows, columns)
    ]


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
    """Attend from each patch of queries to the window of keys around it: s^2 / (2s - 1)^2 of the cost of overlapping windows.

    Args:
        q, k, v: (b, h*w, c), already projected. grid: h, w in tokens. window: of keys, not larger than the grid.
        out: (b, h*w, c), is overwritten with the result; None = a new tensor.
        bytes_at_once: bound of the temporaries, but at least one patch; None = the size of v.

    Returns: (b, h*w, c), which is `out` if that was given. Nothing is averaged: every token gets one result.
    """
    out = torch.empty_like(v) if out is None else out
    places = rearrange(out, "b (h w) c -> b h w c", h=grid.height)
    pairs = neighbourhoods(grid, window)
    patch, keys = (part.size for part in pairs[0])
    bytes_per_patch = 2 * (patch.area + keys.area) * v[:, 0].nbytes  # q and what attend returns; k and v
    bytes_at_once = v.nbytes if bytes_at_once is None else bytes_at_once
    corners = _corners(grid, window, v.device)
    for some in in_chunks(range(len(pairs)), bytes_at_once // bytes_per_patch):
        chunk = slice(some[0], some[-1] + 1)
        _put_(places, pairs[chunk], (q, k, v), [table[chunk] for table in corners], attend)
    return out


def _put_(
    places: Tensor,
    pairs: Sequence[tuple[Window, Window]],
    tensors: Sequence[Tensor],
    corners: Sequence[Tensor],
    attend: Attend,
) -> None:
    """Attend from some patches and store the results. A function of its own, which frees their memory on return."""
    grid, (patch, keys), (q, k, v) = Size(*places.shape[1:3]), (part.size for part in pairs[0]), tensors
    queries = gather_windows((q,), grid, patch, corners[0], NO_PAD)
    around = gather_windows((k, v), grid, keys, corners[1], NO_PAD)
    windows = [window for window, _ in pairs]
    for window, part in zip(windows, by_window(attend(*queries, *around), windows), strict=True):
        cut(places, window).copy_(part)


@lru_cache(maxsize=16)
def _corners(grid: Size, window: Size, device: torch.device) -> Sequence[Tensor]:
    """Corner tables of patches and of their neighbourhoods. Cached across runs, therefore created outside inference mode."""
    with torch.inference_mode(False):
        return [corner_indices(part, grid, NO_PAD, device) for part in zip(*neighbourhoods(grid, window), strict=True)]


def _axis(length: int, window: int) -> Sequence[tuple[tuple[int, int], tuple[int, int]]]:
    """((first, end) of queries, (first, end) of keys) along one axis."""
    patch = max(1, window // 2)
    pairs = []
    for start in range(0, length, patch):
        first = min(start, length - patch)
        key = min(max(0, first - (window - patch) // 2), length - window)
        pairs.append(((first, first + patch), (key, key + window)))
    return pairs
