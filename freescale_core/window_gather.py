"""The tokens of many windows in one call, by a table of token numbers."""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from .geometry import Size
from .windows import Window


def gathered(tensors: Sequence[Tensor], grid: Size, windows: Sequence[Window], pad: Size) -> list[Tensor]:
    """The tokens of n equally large windows of each tensor.

    Args:
        tensors: each (b, h*w, c), on one device. Copied whole if batch and tokens are no view of one another.
        grid: h, w in tokens.
        windows: in coordinates of the grid padded by `pad` on every side; each overlaps the grid.

    Returns: (n*b, window tokens, c) of each, zero on the pad.
    """
    batch, size, device = len(tensors[0]), windows[0].size, tensors[0].device
    # Corners are added as numbers: for a copy of the whole table to the device the host would wait.
    corners = [(window.top - pad.height) * grid.width + window.left - pad.width for window in windows]
    first = _numbers_of_first_window(batch, grid, size, device)
    table = torch.stack([first + corner for corner in corners]).clamp_(0, batch * grid.area - 1).flatten()
    # Not with out=, which writes to the wrong place of a larger tensor on Apple's GPUs (PyTorch up to 2.13).
    parts = [x.flatten(0, 1).index_select(0, table) for x in tensors]
    parts = [part.view(-1, size.area, part.shape[1]) for part in parts]
    inside = [window.without_pad(grid, pad)[1] for window in windows]
    for part in parts:
        _clear_around_(by_window(part, windows), inside)
    return parts


def by_window(parts: Tensor, windows: Sequence[Window]) -> Tensor:
    """(n*b, window tokens, c) -> (n, b, h, w, c), a view."""
    return parts.view(len(windows), -1, *windows[0].size, parts.shape[2])


@lru_cache(maxsize=64)
def _numbers_of_first_window(batch: int, grid: Size, window: Size, device: torch.device) -> Tensor:
    """(b * window tokens,): which of the (b*h*w, c) tokens a window in the top left corner reads. Kept, so no inference tensor."""
    with torch.inference_mode(False):
        rows, columns = torch.arange(window.height, device=device), torch.arange(window.width, device=device)
        pictures = torch.arange(batch, device=device)[:, None, None] * grid.area
        return (pictures + (rows * grid.width)[:, None] + columns).flatten()


def _clear_around_(parts: Tensor, inside: Sequence[Window]) -> None:
    """Zero (n, b, h, w, c) outside `inside`, where the table read other tokens. In strips, since that is a small part of a window."""
    height, width = parts.shape[2:4]
    for part, on_grid in zip(parts, inside, strict=True):
        if on_grid.top > 0:
            part[:, : on_grid.top].zero_()
        if on_grid.bottom < height:
            part[:, on_grid.bottom :].zero_()
        if on_grid.left > 0:
            part[:, :, : on_grid.left].zero_()
        if on_grid.right < width:
            part[:, :, on_grid.right :].zero_()
