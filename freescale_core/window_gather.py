"""The tokens of many windows in one call, by a table of token indices."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from .geometry import Size
from .windows import Window

ASYNC_COPY_DEVICES = ("cuda", "meta")
"""Device types on which a non-blocking copy from pageable CPU memory is safe. MPS is not one of them."""
ASYNC_COPY_BYTES = 2**16
"""CUDA makes the CPU wait for larger copies from pageable memory, non-blocking or not."""


def upload(array: np.ndarray, device: torch.device) -> Tensor:
    """Copy an array to the device in pieces so small that the CPU does not wait for the device, where that is safe."""
    pieces = torch.split(torch.from_numpy(array), max(1, ASYNC_COPY_BYTES // array[0].nbytes))
    uploaded = [piece.to(device, non_blocking=device.type in ASYNC_COPY_DEVICES) for piece in pieces]
    return uploaded[0] if len(uploaded) == 1 else torch.cat(uploaded)


def corner_indices(windows: Sequence[Window], grid: Size, pad: Size, device: torch.device) -> Tensor:
    """(n, 1): the token index of each window's top left corner, which on the pad lies outside its row or the grid."""
    corners = [(window.top - pad.height) * grid.width + window.left - pad.width for window in windows]
    return upload(np.array(corners, np.int64)[:, None], device)


def gather_windows(tensors: Sequence[Tensor], grid: Size, size: Size, corners: Tensor, pad: Size) -> list[Tensor]:
    """Copy the tokens of n windows of each tensor.

    Args:
        tensors: each (b, h*w, c), on one device. Copied whole if batch and tokens are no view of one another.
        grid: h, w in tokens. size: of every window.
        corners: some rows of `corner_indices`. pad: the same as there.

    Returns: (n*b, window tokens, c) of each. What lies on the pad is some other token: see `clear_pad_`.
    """
    batch = len(tensors[0])
    table = (corners + _top_left_indices(batch, grid, size, corners.device)).flatten()
    if any(pad):
        table.clamp_(0, batch * grid.area - 1)
    # Not with out=, which writes to the wrong place of a larger tensor on Apple's GPUs (PyTorch up to 2.13).
    parts = [x.flatten(0, 1).index_select(0, table) for x in tensors]
    return [part.view(-1, size.area, part.shape[1]) for part in parts]


def by_window(parts: Tensor, windows: Sequence[Window]) -> Tensor:
    """(n*b, window tokens, c) -> (n, b, h, w, c), a view."""
    return parts.view(len(windows), -1, *windows[0].size, parts.shape[2])


def clear_pad_(parts: Tensor, grid: Size, windows: Sequence[Window], pad: Size) -> None:
    """Zero what lies outside the grid. In strips, since that is a small part of a window."""
    for part, window in zip(by_window(parts, windows), windows, strict=True):
        inside, (height, width) = window.without_pad(grid, pad)[1], window.size
        if inside.top > 0:
            part[:, : inside.top].zero_()
        if inside.bottom < height:
            part[:, inside.bottom :].zero_()
        if inside.left > 0:
            part[:, :, : inside.left].zero_()
        if inside.right < width:
            part[:, :, inside.right :].zero_()


@lru_cache(maxsize=64)
def _top_left_indices(batch: int, grid: Size, window: Size, device: torch.device) -> Tensor:
    """Flat token indices of a window in the top left corner. Cached across runs, therefore created outside inference mode."""
    with torch.inference_mode(False):
        rows, columns = torch.arange(window.height, device=device), torch.arange(window.width, device=device)
        pictures = torch.arange(batch, device=device)[:, None, None] * grid.area
        return (pictures + (rows * grid.width)[:, None] + columns).flatten()
