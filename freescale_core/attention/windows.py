"""Overlapping windows of the base token grid, each shifted by a seeded jitter (paper, section 3.4)."""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from torch import Tensor

from ..geometry import Size


class Window(NamedTuple):
    """Half-open rectangle in a token grid that is padded by the jitter range on every side."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def size(self) -> Size:
        return Size(self.bottom - self.top, self.right - self.left)

    def without_pad(self, grid: Size, pad: Size) -> "tuple[Window, Window]":
        """The part of the window that lies on the grid proper.

        Returns it in the grid's own coordinates, and in the window's.
        """
        top, left = self.top - pad.height, self.left - pad.width
        on_grid = Window(
            max(0, top),
            min(grid.height, top + self.size.height),
            max(0, left),
            min(grid.width, left + self.size.width),
        )
        return on_grid, Window(
            on_grid.top - top, on_grid.bottom - top, on_grid.left - left, on_grid.right - left
        )


@dataclass(frozen=True)
class WindowGrid:
    """Windows of size `window` over a token grid of size `grid`, half a window apart.

    (2 s - 1)^2 windows for whole scales s: 9 at 2x, 49 at 4x, 225 at 8x. The last window of an axis
    is clamped to the border. A window longer than the grid is cut to the grid.
    """

    grid: Size
    window: Size
    jittered: bool = True

    def __post_init__(self) -> None:
        if min(*self.grid, *self.window) < 1:
            raise ValueError(
                f"expected a grid and a window of at least 1x1 tokens, got grid {self.grid} and window "
                f"{self.window}"
            )

    @property
    def clipped(self) -> Size:
        """The window as used: never longer than the grid."""
        return Size(min(self.window.height, self.grid.height), min(self.window.width, self.grid.width))

    @property
    def covers_grid(self) -> bool:
        """True when one window holds the whole grid, so that local equals global attention."""
        return self.clipped == self.grid

    @property
    def jitter(self) -> Size:
        """Largest shift in tokens per axis, an eighth of the window; also the zero padding per side."""
        if not self.jittered:
            return Size(0, 0)
        return Size(self.window.height // 8, self.window.width // 8)

    @property
    def starts(self) -> tuple[list[int], list[int]]:
        """First row and first column of the windows on the grid, before they are shifted."""
        rows, columns = (
            _axis_starts(length, window) for length, window in zip(self.grid, self.clipped, strict=True)
        )
        return rows, columns

    @property
    def count(self) -> int:
        rows, columns = self.starts
        return len(rows) * len(columns)

    def draw(self, rng: np.random.Generator) -> list[Window]:
        """All windows, row by row, in coordinates of the grid padded by `jitter`.

        The first window of an axis only moves outwards into the pad, so does the last; a single one stays.
        """
        starts, lows, highs = _starts_and_shifts(self)
        # All shifts at once: the same numbers in the same order as one by one, for a small part of the time.
        corners = starts + rng.integers(lows, highs, endpoint=True)
        height, width = self.clipped
        return [Window(top, top + height, left, left + width) for top, left in corners.tolist()]


def cut(x: Tensor, window: Window) -> Tensor:
    """A view of the window's tokens of x, (b, h, w, c)."""
    return x[:, window.top : window.bottom, window.left : window.right]


def window_rng(seed: int, sigma: float, *block: int) -> np.random.Generator:
    """A private generator for one attention block of one model call.

    Depends on the run's seed, the call's noise level and the block only, never on a call counter:
    cond and uncond share it whether they run in one batch or two, and no global generator moves.
    """
    sigma_bits = int(np.float32(sigma).view(np.uint32))
    return np.random.default_rng([seed % 2**64, sigma_bits, *block])


def _axis_starts(length: int, window: int) -> list[int]:
    stride = max(1, window // 2)
    count = -(-(length - window) // stride) + 1
    return [min(i * stride, length - window) for i in range(count)]


@lru_cache(maxsize=64)
def _starts_and_shifts(windows: WindowGrid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Corners without shift on the padded grid, least shifts, largest shifts: (n, 2) each.

    Of all windows, row by row.
    """
    axes = [
        [(start + jitter, *_shifts(i, len(starts), jitter)) for i, start in enumerate(starts)]
        for jitter, starts in zip(windows.jitter, windows.starts, strict=True)
    ]
    numbers = np.array([(row, column) for row in axes[0] for column in axes[1]], np.int64)
    return numbers[:, :, 0], numbers[:, :, 1], numbers[:, :, 2]


def _shifts(index: int, count: int, jitter: int) -> tuple[int, int]:
    """Least and largest shift of a window along one axis."""
    return 0 if index == count - 1 else -jitter, 0 if index == 0 else jitter
