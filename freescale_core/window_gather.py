"""The tokens of many windows in one call, by a table of token numbers."""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from .geometry import Size
from .windows import Window


def gathered(tensors: Sequence[Tensor], grid: Size, windows: Sequence[Window], pad: Size) -> Tensor:
    """The tokens of n equally large windows of each tensor.

    Args:
        tensors: m of them, each (b, h*w, c), on one device. grid: h, w in tokens.
        windows: in coordinates of the grid padded by `pad` on every side.

    Returns: (m, n*b, window tokens, c), zero on the pad.
    """
    (batch, _, channels), size, like = tensors[0].shape, windows[0].size, tensors[0]
    corners = [(window.top - pad.height) * grid.width + window.left - pad.width for window in windows]
    # Only the corners are copied to the device: for a whole table the host would wait.
    offsets = torch.tensor(corners).to(like.device, non_blocking=True)
    table = (offsets[:, None] + _first_window(batch, grid, size, like.device)).clamp_(0, batch * grid.area - 1).flatten()
    parts = like.new_empty((len(tensors), len(table), channels))
    for x, part in zip(tensors, parts, strict=True):
        torch.index_select(x.flatten(0, 1), 0, table, out=part)
    _clear_pad_(parts.view(len(tensors), len(windows), batch, *size, channels), grid, windows, pad)
    return parts.view(len(tensors), -1, size.area, channels)


@lru_cache(maxsize=64)
def _first_window(batch: int, grid: Size, window: Size, device: torch.device) -> Tensor:
    """(b * window tokens,): the rows of (b*h*w, c) that a window in the top left corner reads."""
    with torch.inference_mode(False):
        rows, columns = torch.arange(window.height, device=device), torch.arange(window.width, device=device)
        pictures = torch.arange(batch, device=device)[:, None, None] * grid.area
        return (pictures + (rows * grid.width)[:, None] + columns).flatten()


def _clear_pad_(parts: Tensor, grid: Size, windows: Sequence[Window], pad: Size) -> None:
    """(m, n, b, h, w, c): there the table read other tokens of the grid. In strips, since the pad is a small part of a window."""
    size = windows[0].size
    for window, part in zip(windows, parts.unbind(1), strict=True):
        inside = window.without_pad(grid, pad)[1]
        if inside.top > 0:
            part[:, :, : inside.top].zero_()
        if inside.bottom < size.height:
            part[:, :, inside.bottom :].zero_()
        if inside.left > 0:
            part[:, :, :, : inside.left].zero_()
        if inside.right < size.width:
            part[:, :, :, inside.right :].zero_()
