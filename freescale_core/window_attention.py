"""The local branch of scale fusion: attention inside overlapping windows, overlaps averaged."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np
from einops import rearrange
from torch import Tensor

from .geometry import Size
from .window_gather import by_window, clear_pad_, corner_indices, gather_windows, upload
from .windows import Window

T = TypeVar("T")
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""attend(q, k, v) -> out, each (batch, tokens, channels); heads are the callable's business."""
Windows = Sequence[Window]


def window_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    grid: Size,
    windows: Windows,
    pad: Size,
    attend: Attend,
    out: Tensor | None = None,
    bytes_at_once: int | None = None,
) -> Tensor:
    """Attend inside each window and take the plain mean where windows overlap (paper, section 3.4).

    Args:
        q, k, v: (b, h*w, c), already projected. Projections are token-wise and have no bias, so windowing
            them equals projecting every window.
        grid: h, w in tokens.
        windows: equally large rectangles in the grid padded by `pad`; together they cover the grid.
        pad: zero tokens per side. They take part as keys (k = v = 0, logit 0) and are never results.
        out: (b, h*w, c), is overwritten with the result; None = a new tensor.
        bytes_at_once: bound of the temporaries, but at least one window; None = the size of v.

    Returns: (b, h*w, c), which is `out` if that was given.
    """
    out = v.new_zeros(v.shape) if out is None else out.zero_()
    total, count = rearrange(out, "b (h w) c -> b h w c", h=grid.height), np.zeros(grid, np.uint8)
    corners = corner_indices(windows, grid, pad, v.device)
    bytes_per_window = 4 * windows[0].size.area * v[:, 0].nbytes  # q, k, v and what attend returns
    bytes_at_once = v.nbytes if bytes_at_once is None else bytes_at_once
    for some in in_chunks(range(len(windows)), bytes_at_once // bytes_per_window):
        chunk = slice(some[0], some[-1] + 1)
        _add_(total, count, (q, k, v), windows[chunk], corners[chunk], pad, attend)
    # Overlaps are counted on the CPU and uploaded as bytes: no kernel launches and no synchronisation.
    return out.div_(upload(count.reshape(-1, 1), v.device))


def cut(x: Tensor, window: Window) -> Tensor:
    """A view of the window's tokens of x, (b, h, w, c)."""
    return x[:, window.top : window.bottom, window.left : window.right]


def in_chunks(items: Sequence[T], most: int) -> list[Sequence[T]]:
    """As few groups of at most `most` items, or of one, as will do; all of them nearly equally large."""
    count = -(-len(items) // max(1, most))
    ends = [len(items) * i // count for i in range(count + 1)]
    return [items[first:end] for first, end in pairwise(ends)]


def _add_(
    total: Tensor, count: np.ndarray, tensors: Sequence[Tensor], windows: Windows, corners: Tensor, pad: Size, attend: Attend
) -> None:
    """Attend inside some windows and add the results. A function of its own, which frees their memory on return."""
    grid = Size(*count.shape)
    q, k, v = gather_windows(tensors, grid, windows[0].size, corners, pad)
    # Queries on the pad keep whatever token they got: their results are not used.
    clear_pad_(k, grid, windows, pad)
    clear_pad_(v, grid, windows, pad)
    # One slice at a time: an indexed add would sum overlaps in no fixed order on a GPU.
    for window, part in zip(windows, by_window(attend(q, k, v), windows), strict=True):
        on_grid, in_window = window.without_pad(grid, pad)
        cut(total, on_grid).add_(cut(part, in_window))
        count[on_grid.top : on_grid.bottom, on_grid.left : on_grid.right] += 1
