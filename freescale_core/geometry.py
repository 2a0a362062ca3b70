"""Sizes and the integers that follow from them: scale, dilation factor, blur kernel, token grids."""

import math
from typing import NamedTuple

MIN_SCALE = 1.1
"""Below this scale a stage counts as ordinary sampling: every part of the method is off."""
MIN_BASE_SIDE = 64
"""Pixels. A smaller training size gives windows of a few tokens."""
MAX_SIDE = 16384
"""Pixels. ComfyUI's own limit for the side of an image."""
LATENT_CELL = 8
"""Pixels per latent cell and axis, of the Stable Diffusion VAEs."""


class Size(NamedTuple):
    """Height and width; the unit (pixels, latent cells or tokens) is said where a Size is used."""

    height: int
    width: int

    @property
    def area(self) -> int:
        return self.height * self.width

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


MEGAPIXEL = Size(1024, 1024)
"""Pixels. The unit of areas, here and in ComfyUI's own nodes."""


def to_cells(size: Size, cell: int = LATENT_CELL) -> Size:
    """Pixels -> latent cells of `cell` pixels."""
    return Size(size.height // cell, size.width // cell)


def to_pixels(cells: Size, cell: int = LATENT_CELL) -> Size:
    """Latent cells of `cell` pixels -> pixels."""
    return Size(cells.height * cell, cells.width * cell)


def to_tokens(size: Size, token: int) -> Size:
    """Pixels -> tokens of `token` pixels; a transformer pads what does not fill one."""
    return Size(-(-size.height // token), -(-size.width // token))


def scale_between(base: Size, target: Size) -> float:
    """s = sqrt(target area / base area), the resolution level (paper, section 3.3); sizes in one unit."""
    return math.sqrt(target.area / base.area)


def dilation_factor(scale: float) -> int:
    """d = max(1, floor(s + 1/2)): 2 at 2x, 4 at 4x (eq. 5)."""
    return max(1, math.floor(scale + 0.5))


def blur_kernel_size(scale: float) -> int:
    """k = 2 s - 1 taps for whole s, never below 1; s = 2.005 still counts as 2 (eq. 7)."""
    return max(1, 2 * math.ceil(scale - 0.05) - 1)


def level_size(size: Size, level: int) -> Size:
    """The grid of `size` after `level` stride-2 convolutions with padding 1.

    They halve it and round up each time.
    """
    step = 2**level
    return Size(-(-size.height // step), -(-size.width // step))


def level_of(grid: Size, full: Size) -> int:
    """How often `full` (the UNet's input, latent cells) was halved to give `grid` (tokens of one level)."""
    return max(0, round(math.log2(math.sqrt(full.area / grid.area))))


def strides_between(window: Size, grid: Size) -> Size:
    """Sub-grid strides (s_h, s_w) of the fast global pass: the grid over the window, rounded, at least 1."""
    return Size(max(1, round(grid.height / window.height)), max(1, round(grid.width / window.width)))


def size_of_area(side: int, aspect_of: Size, multiple: int) -> Size:
    """The size with area about side^2 and the aspect of `aspect_of`, both sides rounded to `multiple`.

    >>> size_of_area(1024, Size(1536, 2688), 64)
    Size(height=768, width=1344)
    """
    ratio = math.sqrt(aspect_of.height / aspect_of.width)
    return Size(_round_to(side * ratio, multiple), _round_to(side / ratio, multiple))


def scaled(size: Size, factor: float, multiple: int) -> Size:
    """`size` times `factor`, both sides rounded to `multiple`."""
    return Size(_round_to(size.height * factor, multiple), _round_to(size.width * factor, multiple))


def enlarged(size: Size, factor: float, multiple: int = LATENT_CELL) -> Size:
    """`size` (pixels) times `factor`, both sides rounded to `multiple`.

    A factor of MIN_SCALE or more gives at least MIN_SCALE times the size: where rounding would miss it, both
    sides are rounded up.
    """
    nearest = scaled(size, factor, multiple)
    if factor < MIN_SCALE or scale_between(size, nearest) >= MIN_SCALE:
        return nearest
    return Size(*(math.ceil(side * factor / multiple) * multiple for side in size))


def _round_to(value: float, multiple: int) -> int:
    return max(multiple, math.floor(value / multiple + 0.5) * multiple)
