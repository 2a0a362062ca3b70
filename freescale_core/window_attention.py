"""The local branch of scale fusion: attention inside overlapping windows, overlaps averaged."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from .geometry import Size
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
        out: (b, h*w, c), contiguous, is overwritten with the result; None = a new tensor.
        bytes_at_once: bound of the temporaries, but at least one window; None = the size of v.

    Returns: (b, h*w, c), which is `out` if that was given.
    """
    out = torch.zeros_like(v) if out is None else out.zero_()
    q, k, v, total = (rearrange(x, "b (h w) c -> b h w c", h=grid.height) for x in (q, k, v, out))
    count = np.zeros(grid, np.uint8)
    bytes_per_window = 4 * windows[0].size.area * v[:, 0, 0].nbytes  # q, k, v and what attend returns
    for some in in_chunks(windows, (v.nbytes if bytes_at_once is None else bytes_at_once) // bytes_per_window):
        _add_(total, q, k, v, grid, some, pad, attend)
        for window in some:
            on_grid = window.without_pad(grid, pad)[0]
            count[on_grid.top : on_grid.bottom, on_grid.left : on_grid.right] += 1
    # Counted on the host and copied as bytes: no launches, and no wait for the device.
    return out.div_(torch.from_numpy(count).view(-1, 1).to(v.device, non_blocking=True))


def attended_parts(q: Tensor, k: Tensor, v: Tensor, grid: Size, queries: Windows, keys: Windows, pad: Size, attend: Attend) -> Tensor:
    """Attend from the i-th window of queries to the i-th of keys, all in one call: (b, h, w, c) -> (n, b, window h, window w, c)."""
    out = attend(*(gathered(x, grid, windows, pad) for x, windows in ((q, queries), (k, keys), (v, keys))))
    return rearrange(out, "(n b) (h w) c -> n b h w c", n=len(queries), h=queries[0].size.height)


def gathered(x: Tensor, grid: Size, windows: Windows, pad: Size) -> Tensor:
    """The tokens of n equally large windows: (b, h, w, c) -> (n b, window tokens, c), zero on the pad."""
    parts = x.new_empty((len(windows), x.shape[0], *windows[0].size, x.shape[3]))
    for window, part in zip(windows, parts, strict=True):
        on_grid, in_window = window.without_pad(grid, pad)
        cut(part, in_window).copy_(cut(x, on_grid))
        _clear_around_(part, in_window)
    return rearrange(parts, "n b h w c -> (n b) (h w) c")


def _clear_around_(part: Tensor, window: Window) -> None:
    """Zero what lies outside `window`: strips, since nearly every window of a 2x grid lies a little on the pad."""
    height, width = part.shape[1:3]
    if window.top > 0:
        part[:, : window.top].zero_()
    if window.bottom < height:
        part[:, window.bottom :].zero_()
    if window.left > 0:
        part[:, :, : window.left].zero_()
    if window.right < width:
        part[:, :, window.right :].zero_()


def cut(x: Tensor, window: Window) -> Tensor:
    """A view of the window's tokens of x, (b, h, w, c)."""
    return x[:, window.top : window.bottom, window.left : window.right]


def in_chunks(items: Sequence[T], count: int) -> list[Sequence[T]]:
    """Groups of `count` items, at least one."""
    size = max(1, count)
    return [items[i : i + size] for i in range(0, len(items), size)]


def _add_(total: Tensor, q: Tensor, k: Tensor, v: Tensor, grid: Size, windows: Windows, pad: Size, attend: Attend) -> None:
    """A function of its own, so that one chunk's memory is free before the next one is attended."""
    # One slice at a time: an indexed add would sum overlaps in no fixed order on a GPU.
    for window, part in zip(windows, attended_parts(q, k, v, grid, windows, windows, pad, attend), strict=True):
        on_grid, in_window = window.without_pad(grid, pad)
        cut(total, on_grid).add_(cut(part, in_window))
