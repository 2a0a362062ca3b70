"""The local branch of scale fusion: attention inside overlapping windows, overlaps averaged."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from .geometry import Size
from .windows import Window

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""attend(q, k, v) -> out, each (batch, tokens, channels); heads are the callable's business."""


def window_attention(
    q: Tensor, k: Tensor, v: Tensor, grid: Size, windows: Sequence[Window], pad: Size, attend: Attend, tokens_at_once: int | None = None
) -> Tensor:
    """Attend inside each window and take the plain mean where windows overlap (paper, section 3.4).

    Args:
        q, k, v: (b, h*w, c), already projected. Projections are token-wise and have no bias, so windowing
            them equals projecting every window.
        grid: h, w in tokens.
        windows: equally large rectangles in the grid padded by `pad`; together they cover the grid.
        tokens_at_once: how many tokens one call of attend may get, at least one window; None = as many as the grid has.
        pad: zero tokens added per side. They take part as keys (k = v = 0, logit 0) and are cropped at the end.

    Returns: (b, h*w, c).
    """
    q, k, v = (_padded(x, grid, pad) for x in (q, k, v))
    total = torch.zeros_like(v)
    count = torch.zeros(v.shape[1:3], dtype=v.dtype, device=v.device)
    for some in _in_chunks(windows, tokens_at_once or grid.area):
        parts = [rearrange(torch.stack([_cut(x, w) for w in some]), "n b h w c -> (n b) (h w) c") for x in (q, k, v)]
        size = Size(some[0].bottom - some[0].top, some[0].right - some[0].left)
        out = rearrange(attend(*parts), "(n b) (h w) c -> n b h w c", n=len(some), h=size.height)
        # One slice at a time: an indexed add would sum overlaps in no fixed order on a GPU.
        for window, attended in zip(some, out, strict=True):
            _cut(total, window).add_(attended)
            count[window.top : window.bottom, window.left : window.right] += 1
    inner = Window(pad.height, pad.height + grid.height, pad.width, pad.width + grid.width)
    mean = _cut(total, inner) / _cut(count[None], inner)[..., None]
    return rearrange(mean, "b h w c -> b (h w) c")


def _padded(x: Tensor, grid: Size, pad: Size) -> Tensor:
    x = rearrange(x, "b (h w) c -> b h w c", h=grid.height)
    return F.pad(x, (0, 0, pad.width, pad.width, pad.height, pad.height))


def _cut(x: Tensor, window: Window) -> Tensor:
    return x[:, window.top : window.bottom, window.left : window.right]


def _in_chunks(windows: Sequence[Window], tokens_at_once: int) -> list[Sequence[Window]]:
    """Groups of windows of about that many tokens: with the grid's own count, memory does not grow with the scale."""
    first = windows[0]
    tokens = (first.bottom - first.top) * (first.right - first.left)
    size = max(1, tokens_at_once // tokens)
    return [windows[i : i + size] for i in range(0, len(windows), size)]
