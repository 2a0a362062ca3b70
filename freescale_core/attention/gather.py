"""Copies the tokens of many windows with one index_select, by a table of token indices."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ..geometry import Size
from .windows import Window

ASYNC_COPY_DEVICES = ("cuda", "meta")
"""Device types on which a non-blocking copy from pageable CPU memory is safe. MPS is not one of them."""
ASYNC_COPY_BYTES = 2**16
"""CUDA makes the CPU wait for larger copies from pageable memory, non-blocking or not."""


def upload(array: np.ndarray, device: torch.device) -> Tensor:
    """Copy an array to the device without making the CPU wait for it, where that is safe.

    For that the pieces must be small.
    """
    whole, without_waiting = torch.from_numpy(array), device.type in ASYNC_COPY_DEVICES
    if array.nbytes <= ASYNC_COPY_BYTES:
        return whole.to(device, non_blocking=without_waiting)
    pieces = torch.split(whole, max(1, ASYNC_COPY_BYTES // array[0].nbytes))
    return torch.cat([piece.to(device, non_blocking=without_waiting) for piece in pieces])


class WindowTables:
    """Says which tokens lie in each of n windows.

    All of it is made on the device, from the corners of the windows.

    corners: (n, 2), on the grid, so on the pad they are negative or beyond it.
    """

    def __init__(self, windows: Sequence[Window], grid: Size, pad: Size, device: torch.device) -> None:
        corners = [(window.top - pad.height, window.left - pad.width) for window in windows]
        self._grid, self._size = grid, windows[0].size
        self._corners = upload(np.array(corners, np.int64), device)
        self._first = self._corners[:, :1] * grid.width + self._corners[:, 1:]
        last = grid.height - self._size.height, grid.width - self._size.width
        self._crosses = [not (0 <= top <= last[0] and 0 <= left <= last[1]) for top, left in corners]
        self._outside = self._all_outside() if any(self._crosses) else None

    def indices(self, some: slice, batch: int) -> Tensor:
        """Row of each token of some windows in tokens (batch * h*w, c): (n * batch * window tokens).

        On the pad it is any row.
        """
        table = (
            self._first[some] + _top_left_indices(batch, self._grid, self._size, self._first.device)
        ).flatten()
        return table.clamp_(0, batch * self._grid.area - 1) if any(self._crosses[some]) else table

    def outside(self, some: slice) -> Tensor | None:
        """(n, 1, window tokens, 1): which tokens of some windows lie on the pad; None = none of them."""
        return self._outside[some] if self._outside is not None and any(self._crosses[some]) else None

    def _all_outside(self) -> Tensor:
        rows, columns = (
            _outside(self._corners[:, axis, None], length, window)
            for axis, (length, window) in enumerate(zip(self._grid, self._size, strict=True))
        )
        return (rows[:, :, None] | columns[:, None]).view(len(rows), 1, -1, 1)


def gather(tokens: Tensor, indices: Tensor, size: Size) -> Tensor:
    """Copy the tokens of windows, (n*b, window tokens, c).

    Args:
        tokens: (b, h*w, c). Copied whole if batch and tokens are no view of one another.
        indices: of `WindowTables`. size: of every window.
    """
    # Not with out=, which writes to the wrong place of a larger tensor on Apple's GPUs (PyTorch up to 2.13).
    return tokens.flatten(0, 1).index_select(0, indices).view(-1, size.area, tokens.shape[2])


def by_window(parts: Tensor, windows: Sequence[Window]) -> Tensor:
    """(n*b, window tokens, c) -> (n, b, h, w, c), a view."""
    return parts.view(len(windows), -1, *windows[0].size, parts.shape[2])


def _outside(first: Tensor, length: int, window: int) -> Tensor:
    """(n, window): which places of windows that begin at `first` lie outside an axis."""
    places = first + torch.arange(window, device=first.device)
    return places.clamp(0, length - 1) != places


@lru_cache(maxsize=64)
def _top_left_indices(batch: int, grid: Size, window: Size, device: torch.device) -> Tensor:
    """Flat token indices of a window in the top left corner.

    Cached across runs, therefore created outside inference mode.
    """
    with torch.inference_mode(False):
        rows, columns = torch.arange(window.height, device=device), torch.arange(window.width, device=device)
        images = torch.arange(batch, device=device)[:, None, None] * grid.area
        return (images + (rows * grid.width)[:, None] + columns).flatten()
