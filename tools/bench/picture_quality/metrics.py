"""One number for one picture.

Pictures are (1, 3, h, w), 0..1. Needs torch and kornia alone, so the tests use it as well.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from kornia.color import rgb_to_grayscale
from kornia.filters import gaussian_blur2d, spatial_gradient
from kornia.metrics import ssim
from torch import Tensor

UNIT = 64
"""Pixels that the base picture's shorter side is shrunk to before repetition is looked for."""
DIRECTIONS = 8
CELL = 4
"""Pixels of a cell of the edge maps; it is what a copy may be off and still count as one."""
LAGS = (0.25, 1.25)
"""Shifts at which copies are looked for, in sides of the base picture: its parts (a quarter) to the whole of
it (1)."""
FLAT = 0.05
MOST_EXPECTED = 0.9


def repetition(picture: Tensor, base: Tensor) -> float:
    """How much more a picture repeats itself at shifts of about one base size than its base picture does; 0:
    not more, 1: a tiling.

    A model that is asked for more than its training size repeats things and parts of things at its training
    size. So both pictures, the base one enlarged, are turned into maps of edges by direction (brightness
    tells nothing: copies never match to the pixel) and correlated with themselves, shifted by 1/4 to 5/4 of
    the base size in any direction. Result: the largest (r - r_base) / (1 - r_base) over the shifts, so
    wheels, windows and symmetry that the base picture has as well do not count. A picture of the same
    structure as its base gives about 0; new detail gives a little above 0, for some shift always fits best.
    """
    height, width = base.shape[2:]
    shrink = UNIT / min(height, width)
    size = [round(side * shrink) for side in picture.shape[2:]]
    found, expected = (self_similarity(edge_maps(resized(image, size))) for image in (picture, base))
    lag_y, lag_x = (
        _lags(n) * CELL / (side * shrink) for n, side in zip(found.shape, (height, width), strict=True)
    )
    lag = torch.maximum(lag_y[:, None], lag_x[None])
    excess = (found - expected) / (1 - expected.clamp(max=MOST_EXPECTED))
    return float(excess[(lag >= LAGS[0]) & (lag <= LAGS[1])].max().clamp(min=0))


def edge_maps(picture: Tensor) -> Tensor:
    """(DIRECTIONS, h / CELL, w / CELL): strength of edges by direction, each map blurred to cells, mean 0."""
    gradient = spatial_gradient(rgb_to_grayscale(picture))[0, 0]  # (2, h, w)
    strength, angle = gradient.norm(dim=0), torch.atan2(gradient[1], gradient[0])
    step = torch.pi / DIRECTIONS
    off = torch.stack(
        [(angle - i * step + torch.pi / 2) % torch.pi - torch.pi / 2 for i in range(DIRECTIONS)]
    )
    maps = strength * (1 - off.abs() / step).clamp(min=0)
    kernel = 8 * CELL // 2 + 1
    maps = gaussian_blur2d(maps[None], (kernel, kernel), (float(CELL), float(CELL)))[0, :, ::CELL, ::CELL]
    return maps - maps.mean(dim=(1, 2), keepdim=True)


def self_similarity(maps: Tensor) -> Tensor:
    """Normalised autocorrelation of (c, h, w) at all shifts, (2h, 2w) in the order of fftfreq: 1 where the
    overlap equals itself.

    Overlaps with hardly any edges give about 0 instead of noise.
    """
    size = [2 * n for n in maps.shape[1:]]
    energy = maps.square().sum(0)
    products = _correlated(maps, maps, size).sum(0)
    window = torch.ones_like(energy)
    here, there = _correlated(energy, window, size), _correlated(window, energy, size)
    return products / (here.clamp(min=0) * there.clamp(min=0)).sqrt().clamp(
        min=FLAT * float(energy.sum()) + 1e-12
    )


def consistency(picture: Tensor, base: Tensor) -> float:
    """SSIM of the picture, shrunk to the base size, with the base picture: 1 = same structure."""
    return float(ssim(resized(picture, base.shape[2:]), base, window_size=11).mean())


def sharpness(picture: Tensor, base_size: tuple[int, int]) -> float:
    """Share of the picture's energy at frequencies that its base size (height, width) cannot hold.

    Brightness under a Hann window (so that opposite borders are no edge), without its mean.
    """
    gray = rgb_to_grayscale(picture)[0, 0]
    height, width = gray.shape
    window = torch.hann_window(height)[:, None] * torch.hann_window(width)[None]
    power = torch.fft.fft2((gray - gray.mean()) * window).abs().square()
    fine_y, fine_x = (
        torch.fft.fftfreq(n).abs() > base / n / 2
        for n, base in ((height, base_size[0]), (width, base_size[1]))
    )
    return float(power[fine_y[:, None] | fine_x[None]].sum() / power.sum().clamp(min=1e-12))


def as_tensor(picture: np.ndarray) -> Tensor:
    """uint8 RGB (h, w, 3) -> (1, 3, h, w) in 0..1."""
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255


def resized(picture: Tensor, size: Sequence[int]) -> Tensor:
    """(1, 3, h, w) to the size (height, width), in 0..1, without aliasing."""
    return F.interpolate(
        picture, size=tuple(size), mode="bicubic", antialias=True, align_corners=False
    ).clamp(0, 1)


def _correlated(a: Tensor, b: Tensor, size: list[int]) -> Tensor:
    return torch.fft.irfft2(torch.fft.rfft2(a, size).conj() * torch.fft.rfft2(b, size), size)


def _lags(n: int) -> Tensor:
    """Shifts of self_similarity along an axis of n entries, in cells, without sign."""
    return (torch.fft.fftfreq(n) * n).abs()
