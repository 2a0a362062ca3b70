"""The pieces of scale fusion apart, against the same written down plainly: which of them would be worth a
kernel of its own?"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from freescale_pack.freescale_core.attention.blur import Gaussian, blur_rows
from freescale_pack.freescale_core.attention.gather import WindowTables, gather
from freescale_pack.freescale_core.attention.windows import WindowGrid, window_rng
from freescale_pack.freescale_core.geometry import Size, blur_kernel_size
from kornia.filters import get_gaussian_kernel1d
from torch import Tensor

from tools.bench.on_gpu.clock import median_milliseconds
from tools.bench.on_gpu.record import Row
from tools.bench.on_gpu.subject import Subject
from tools.bench.performance.attention import LoneAttention
from tools.bench.performance.counting import VARIANTS

LEVELS = ((64, 640, 10), (32, 1280, 20))
"""SDXL's: side of the window in tokens at half and quarter resolution, channels, heads."""
WINDOWS_AT_ONCE = 9


def pieces(subject: Subject) -> Iterator[Row]:
    """Milliseconds of one block: plain attention, both branches, the blur after the projection; at 2 and 4
    times the base side."""
    for scale in (2,) if subject.tiny else (2, 4):
        for window, channels, heads in LEVELS[1:] if subject.tiny else LEVELS:
            window = 8 if subject.tiny else window
            grid, median = (
                Size(window * scale, window * scale),
                partial(median_milliseconds, subject.device, rounds=3),
            )
            like = {"device": subject.device, "dtype": subject.dtype}
            level = (Size(window, window), grid, channels, heads)
            plain = LoneAttention(*level[:2], None, *level[2:], **like)
            yield _row(scale, channels, "plain attention", median(plain.attend))
            for name in ("exact, 3-D", "fast, 3-D", "fast neighbourhoods, 3-D"):
                block = LoneAttention(*level[:2], VARIANTS[name], *level[2:], **like)
                yield _row(scale, channels, f"{name}: both branches", median(block.attend))
                both = block.attend()
                yield _row(scale, channels, f"{name}: blur", median(partial(_fuse, block, both)))
            yield from (
                _row(scale, channels, name, median(call))
                for name, call in _blurs(subject, scale, grid, channels)
            )
            yield from (_row(scale, channels, name, median(call)) for name, call in _gathers(subject, level))


def _row(scale: int, channels: int, name: str, milliseconds: float) -> Row:
    return {"scale": scale, "channels": channels, "piece": name, "milliseconds": milliseconds}


def _fuse(block: LoneAttention, both: Tensor) -> Tensor:
    return block.fuse(both)


def _blurs(
    subject: Subject, scale: int, grid: Size, channels: int
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """One blur over (h, w, c) of one picture: ours, and convolutions of the same kernel."""
    taps = blur_kernel_size(float(scale))
    x = torch.randn(1, *grid, channels, device=subject.device, dtype=subject.dtype)
    kernel = get_gaussian_kernel1d(taps, 1.0)[0].to(subject.device, subject.dtype)

    def banded() -> Tensor:
        return blur_rows(x, 0, grid.height, Gaussian(taps))

    def separable() -> Tensor:
        image = x[0].permute(2, 0, 1)[:, None]
        image = F.conv2d(image, kernel.view(1, 1, -1, 1), padding=(taps // 2, 0))
        image = F.conv2d(image, kernel.view(1, 1, 1, -1), padding=(0, taps // 2))
        return F.conv1d(image.flatten(1).T[:, None], kernel.view(1, 1, -1), padding=taps // 2)

    def dense() -> Tensor:
        cube = kernel[:, None, None] * kernel[None, :, None] * kernel[None, None, :]
        return F.conv3d(x[None], cube[None, None], padding=taps // 2)

    yield f"blur of {taps} taps: banded products", banded
    yield f"blur of {taps} taps: separable convolutions", separable
    yield f"blur of {taps} taps: one dense convolution", dense


def _gathers(subject: Subject, level: tuple[Size, Size, int, int]) -> Iterator[tuple[str, Callable[[], Any]]]:
    """All windows of q, k and v of two pictures: by one table, and sliced one by one."""
    window, grid, channels, _ = level
    tokens = [
        torch.randn(2, grid.area, channels, device=subject.device, dtype=subject.dtype) for _ in range(3)
    ]
    windows = WindowGrid(grid, window)
    drawn, pad = windows.draw(window_rng(0, 3.0, 0, 1, 0)), windows.jitter
    chunks = [slice(i, i + WINDOWS_AT_ONCE) for i in range(0, len(drawn), WINDOWS_AT_ONCE)]

    def by_table() -> None:
        tables = WindowTables(drawn, grid, pad, subject.device)
        for some in chunks:
            indices = tables.indices(some, 2)
            for x in tokens:
                gather(x, indices, window)

    def sliced() -> None:
        images = [
            F.pad(x.unflatten(1, grid), (0, 0, pad.width, pad.width, pad.height, pad.height)) for x in tokens
        ]
        for some in chunks:
            for image in images:
                torch.cat([image[:, w.top : w.bottom, w.left : w.right].flatten(1, 2) for w in drawn[some]])

    yield "windows of q, k, v: by a table", by_table
    yield "windows of q, k, v: padded and sliced", sliced
