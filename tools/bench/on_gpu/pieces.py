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
from tools.bench.performance.counting import VARIANTS

LEVELS = ((64, 640, 10), (32, 1280, 20))
"""SDXL's: side of the window in tokens at half and quarter resolution, channels, heads."""
WINDOWS_AT_ONCE = 9

Level = tuple[Size, Size, int, int]
"""Window and grid in tokens, channels, heads."""
Calls = dict[str, Callable[[], Any]]


def pieces(subject: Subject) -> Iterator[Row]:
    """Milliseconds of one block: plain attention, both branches, the blur after the projection; at 2 and 4
    times the base side."""
    for scale in (2,) if subject.tiny else (2, 4):
        for window, channels, heads in LEVELS[1:] if subject.tiny else LEVELS:
            window = 8 if subject.tiny else window
            level = (Size(window, window), Size(window * scale, window * scale), channels, heads)
            calls = {**_branches(subject, level), **_blurs(subject, scale, level), **_gathers(subject, level)}
            for name, call in calls.items():
                milliseconds = median_milliseconds(subject.device, call, 3)
                yield {"scale": scale, "channels": channels, "piece": name, "milliseconds": milliseconds}


def _branches(subject: Subject, level: Level) -> Calls:
    calls: Calls = {"plain attention": subject.self_attention(*level, None).attend}
    for name in ("exact, 3-D", "fast, 3-D", "fast neighbourhoods, 3-D"):
        block = subject.self_attention(*level, VARIANTS[name])
        calls[f"{name}: both branches"] = block.attend
        calls[f"{name}: blur"] = partial(block.fuse, block.attend())
    return calls


def _blurs(subject: Subject, scale: int, level: Level) -> Calls:
    """One blur over (h, w, c) of one picture: ours, and convolutions of the same kernel."""
    _, grid, channels, _ = level
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

    ways = {"banded products": banded, "separable convolutions": separable, "one dense convolution": dense}
    return {f"blur of {taps} taps: {way}": call for way, call in ways.items()}


def _gathers(subject: Subject, level: Level) -> Calls:
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

    return {"windows of q, k, v: by a table": by_table, "windows of q, k, v: padded and sliced": sliced}
