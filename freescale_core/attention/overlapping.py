"""The local branch of scale fusion: attention inside overlapping windows, overlaps averaged."""

from collections.abc import Sequence

import numpy as np
from einops import rearrange
from torch import Tensor

from ..geometry import Size
from .attend import Attend, in_chunks
from .gather import WindowTables, by_window, gather, upload
from .windows import Window, cut

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
    tables = WindowTables(windows, grid, pad, v.device)
    bytes_per_window = 4 * windows[0].size.area * v[:, 0].nbytes  # q, k, v and what attend returns
    bytes_at_once = v.nbytes if bytes_at_once is None else bytes_at_once
    for some in in_chunks(range(len(windows)), bytes_at_once // bytes_per_window):
        chunk = slice(some[0], some[-1] + 1)
        _add_(total, _attended((q, k, v), tables, chunk, windows[0].size, attend), count, windows[chunk], pad)
    # Overlaps are counted on the CPU and uploaded as bytes: no kernel launches and no synchronisation.
    return out.div_(upload(count.reshape(-1, 1), v.device))


def _attended(
    tensors: Sequence[Tensor], tables: WindowTables, chunk: slice, size: Size, attend: Attend
) -> Tensor:
    """Results inside some windows, (n*b, window tokens, c).

    A function of its own, which frees q, k and v on return.
    """
    indices, outside = tables.indices(chunk, len(tensors[0])), tables.outside(chunk)
    # Queries on the pad keep whatever token they got: their results are not used.
    q, k, v = (gather(x, indices, size) for x in tensors)
    if outside is not None:
        for x in (k, v):
            x.view(len(outside), -1, *x.shape[1:]).masked_fill_(outside, 0.0)
    return attend(q, k, v)


def _add_(total: Tensor, parts: Tensor, count: np.ndarray, windows: Windows, pad: Size) -> None:
    """Add results to the windows' places in `total`, (b, h, w, c), and count them."""
    grid = Size(*count.shape)
    # One slice at a time: an indexed add would sum overlaps in no fixed order on a GPU.
    for window, part in zip(windows, by_window(parts, windows), strict=True):
        on_grid, in_window = window.without_pad(grid, pad)
        cut(total, on_grid).add_(cut(part, in_window))
        count[on_grid.top : on_grid.bottom, on_grid.left : on_grid.right] += 1
