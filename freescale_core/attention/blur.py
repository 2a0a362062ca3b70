"""Gaussian low-pass over an image's tokens, with zero padding, as products with banded matrices.

No convolution: those run in TF32, in layouts and with group limits that differ between backends, and take
longer on a GPU (docs/PERFORMANCE.md, pieces). One shifted add per tap needs no product either, but moves 4
times the bytes at 3 taps and 20 times at 15.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from kornia.filters import get_gaussian_kernel1d
from torch import Tensor

ROWS_AT_ONCE = 8
"""Rows of one matrix. The cost per element grows with it; with fewer of them, more rows are read twice."""


class Gaussian(NamedTuple):
    """G of eq. 7."""

    kernel_size: int
    """Odd number of taps per axis."""
    sigma: float = 1.0
    """In tokens, and in channels where it blurs over them."""
    over_channels: bool = True
    """Over (h, w, channel) as the released code does, or over (h, w) as the paper writes."""

    @property
    def reach(self) -> int:
        """Tokens on each side that a result depends on."""
        return self.kernel_size // 2


def blur_rows(x: Tensor, top: int, bottom: int, gaussian: Gaussian) -> Tensor:
    """Return G of eq. 7 on some rows of images.

    In the tokens' own dtype: fp16 and bf16 cost less than three roundings of the fused tokens, and up to five
    where the low frequencies of both branches nearly cancel. Attention itself costs about two. Where the user
    allows TF32 for products of float32 (torch.backends.cuda.matmul.allow_tf32), the result changes by up to a
    thousandth of its greatest value.

    Args:
        x: (b, h, w, c). Only rows `top - reach` to `bottom + reach` are read.

    Returns: (b, bottom - top, w, groups, c / groups). The channels in groups, since the last product returns
    them so.
    """
    kernel_size, sigma, over_channels = gaussian
    if kernel_size == 1:
        return x[:, top:bottom].unsqueeze(3)
    batch, rows, width, channels = len(x), bottom - top, x.shape[2], x.shape[3]
    low = _blurred_down(x, top, bottom, kernel_size, sigma)
    # Columns become the outermost axis, so that blocks of columns are matrices without a further copy.
    low = low.permute(2, 0, 1, 3).contiguous()
    across = _blocks(width, kernel_size, sigma, x.dtype, x.device)
    # No name for the windows: it would keep what they view alive during the last product.
    low = across.bands.bmm(low.view(width, -1).unfold(0, across.window, across.step).mT)
    low = low.view(width, batch * rows, 1, channels)
    if over_channels:
        along = _blocks(channels, kernel_size, sigma, x.dtype, x.device)
        windows = low.view(-1, channels).unfold(1, along.window, along.step).transpose(0, 1)
        low = windows.bmm(along.bands.mT).view(len(along.bands), width, batch * rows, -1).permute(1, 2, 0, 3)
    low = low.transpose(0, 1)
    return low.view(batch, rows, *low.shape[1:])


def _blurred_down(x: Tensor, top: int, bottom: int, kernel_size: int, sigma: float) -> Tensor:
    """Rows `top` to `bottom` of (b, h, w, c), blurred over h alone: (b, rows, w, c), a view.

    All images stand in one tall one, far enough apart that equal blocks of rows with the rows around them are
    windows of it at equal distances: one product for all blocks of all images.
    """
    (batch, height, width, channels), rows, reach = x.shape, bottom - top, kernel_size // 2
    blocks, apart = whole_blocks(rows), rows_apart(rows, reach, batch)
    tall = x.new_empty((batch * apart, width * channels))
    images = tall.view(batch, apart, width, channels)
    first, end = max(0, top - reach), min(height, bottom + reach)
    above = first - top + reach  # Rows that lie above the image.
    images[:, above : above + end - first] = x[:, first:end]
    # What no result needs, too: a product multiplies it with 0, which does not help against a NaN.
    for empty in (images[:, :above], images[:, above + end - first :]):
        empty.zero_()
    row = width * channels
    windows = tall.as_strided(
        (((batch - 1) * apart + blocks) // ROWS_AT_ONCE, ROWS_AT_ONCE + 2 * reach, row),
        (ROWS_AT_ONCE * row, row, 1),
    )
    band = _band(ROWS_AT_ONCE, kernel_size, sigma, x.dtype, x.device)
    low = band.expand(len(windows), -1, -1).bmm(windows)
    return low.as_strided((batch, rows, width, channels), (apart * row, row, channels, 1))


def rows_apart(rows: int, reach: int, images: int) -> int:
    """How many rows `blur_rows` holds of each of some images.

    No block of one image reads the next one, which begins with a block.
    """
    held = whole_blocks(rows) + 2 * reach
    return held if images == 1 else whole_blocks(held)


def whole_blocks(rows: int) -> int:
    """At least `rows`, a multiple of ROWS_AT_ONCE."""
    return -(-rows // ROWS_AT_ONCE) * ROWS_AT_ONCE


class _Blocks(NamedTuple):
    """An axis as equal blocks, each blurred from a window of the axis."""

    bands: Tensor
    """(blocks, block length, window)."""
    window: int
    step: int


@lru_cache(maxsize=64)
def _blocks(length: int, kernel_size: int, sigma: float, dtype: torch.dtype, device: torch.device) -> _Blocks:
    """The blocks with the smallest window.

    One product with the whole axis would cost its length for every element.
    """
    reach = kernel_size // 2
    # Windows from the first to the last element: the border needs no padding, only other matrices.
    counts = [n for n in range(1, length + 1) if length % n == 0 and (n == 1 or length // n > reach)]
    count = min(counts, key=lambda n: length // n + reach * (n - 1))
    block = length // count
    step, window = max(1, block - reach), block + reach * (count - 1)
    # Made on the CPU: the whole matrix is needed once, its parts stay on the device.
    whole = _band(length, kernel_size, sigma, dtype, torch.device("cpu"))[:, reach : reach + length]
    with torch.inference_mode(False):
        parts = [whole[i * block : (i + 1) * block, i * step : i * step + window] for i in range(count)]
        return _Blocks(torch.stack(parts).to(device), window, step)


@lru_cache(maxsize=64)
def _band(length: int, kernel_size: int, sigma: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(length, length + 2 * reach): the taps, moved on by one in every row.

    Cached, hence no inference tensor.
    """
    with torch.inference_mode(False):
        taps = _taps(kernel_size, sigma, dtype)
        band = torch.zeros(length, length + kernel_size)
        band[:, :kernel_size] = taps
        # One element more in a row than the result has moves every row on by one.
        return band.flatten()[: length * (length + kernel_size - 1)].view(length, -1).to(device, dtype)


def _taps(kernel_size: int, sigma: float, dtype: torch.dtype) -> Tensor:
    """The Gaussian's taps, float32.

    For half precision rounded so that they still sum to 1: an even area must keep its value.
    """
    taps = get_gaussian_kernel1d(kernel_size, sigma)[0]
    if dtype not in (torch.float16, torch.bfloat16):
        return taps
    # The distance between neighbouring numbers at the largest tap.
    step = torch.finfo(dtype).eps * 2.0 ** math.floor(math.log2(taps.max()))
    taps = (taps / step).round() * step
    taps[kernel_size // 2] += 1.0 - taps.sum()
    return taps
