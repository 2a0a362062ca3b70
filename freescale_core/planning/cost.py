"""Gives the operations (counted) and the memory (an estimate) of SDXL's UNet at a size, by closed formulas.

Other UNets differ. Of transformers it gives the operations of a layer.

Operations are for one pass (cond or uncond), memory for both passes in one batch in fp16. The counts come
from the real UNet on tensors without data; tests/host/test_cost.py counts them again.
"""

from typing import Literal, NamedTuple

from ..attention.neighbourhoods import attended_pairs
from ..attention.windows import WindowGrid
from ..geometry import MEGAPIXEL, Size, blur_kernel_size, level_size, scale_between, strides_between, to_cells

GIB = 2**30
Mode = Literal["exact", "fast"]
Local = Literal["windows", "neighbourhoods"]


class AttentionLevel(NamedTuple):
    """Self-attention of one UNet level, which lies `level` halvings below the latent."""

    level: int
    channels: int
    layers: int


ATTENTION = (AttentionLevel(1, 640, 10), AttentionLevel(2, 1280, 60))
"""SDXL's 70 self-attentions: half resolution 4 + 6, quarter resolution 20 + 10 + 30."""
PER_MEGAPIXEL = 5.957e12
"""Counted: all that grows with the area, i.e. convolutions, projections, feed-forward and cross-attention."""
CONSTANT = 0.052e12
"""Counted: what does not grow, i.e. keys and values of the text's 77 tokens."""
BLUR_PER_ELEMENT = 95
"""Counted: the products of a 3-D blur with k taps take this times k^(2/3) for each element of an attention
output."""
MOVED_PER_ELEMENT = {"windows": 25_000, "neighbourhoods": 12_500}
"""By local branch: what copies, gathers and sums of scale fusion take for each element of an attention
output, in operations that the UNet would do in that time. Measured on an H100 at 4096 and 8192 px, with
windows exact and fast alike, with neighbourhoods fast (docs/PERFORMANCE.md)."""

TRANSFORMER_WIDTH = 3072
"""Channels of FLUX.1, Chroma and Qwen-Image; Wan 14B has 5120, Z-Image 3840."""
WEIGHTS_GIB = 2_567_463_684 * 2 / GIB
"""The UNet's parameters in fp16: 5.1 GB."""
ACTIVATIONS_GIB = 0.33
"""Per megapixel: the peak of a call with scale fusion. Measured on an H100 at 2048, 4096 and 8192 px: 0.327
to 0.328, without scale fusion 0.308 (docs/PERFORMANCE.md). ComfyUI keeps 0.512 free, and where it cannot, it
calls cond and uncond apart."""
FREEU_GIB = 2 * 320 / 64 * 22 * MEGAPIXEL.area / GIB
"""Per megapixel: what ComfyUI's FreeU node takes while it filters the widest skip connection (320 channels at
the full latent, 2 passes). Counted: 22 bytes for each of its numbers. The UNet holds little else at that
moment, so the peak of a call stays within ACTIVATIONS_GIB. Scratch memory of the Fourier transform is not in
the count."""
RESERVE_GIB = 1.5
"""For the driver, the allocator's gaps and the scratch memory of convolutions."""
VAE_GIB = 2.15
"""Per megapixel, for decoding in fp16 or bf16. Measured on an H100 at 4096 px: 34.3 GiB in one piece.
ComfyUI, and with it the cascade's choice of tiles, reckons with 2178 * 2 bytes a pixel, which is twice as
much (memory_used_decode)."""
TILED_VAE_GIB = VAE_GIB / 4
"""The VAE's smallest tiles have the area of 512 x 512 pixels. Measured: 0.6 GiB."""


def unet_operations(size: Size) -> float:
    """Floating-point operations of one unpatched pass; size in pixels.

    >>> round(unet_operations(Size(1024, 1024)) / 1e12, 1)
    6.8
    """
    return _without_attention(size) + sum(
        _attention(level, _grid(size, level).area ** 2) for level in ATTENTION
    )


def fused_operations(base: Size, size: Size, mode: Mode, local: Local = "windows") -> float:
    """The same with scale fusion and its 3-D blur. Sizes in pixels.

    The local branch is added, fast cuts the global attention into sub-grids, and the blur projects global and
    local apart and takes some itself. Dilation costs nothing.
    """
    total, taps = _without_attention(size), blur_kernel_size(scale_between(base, size))
    for level in ATTENTION:
        grid = _grid(size, level)
        windows = WindowGrid(grid, _grid(base, level))
        parts = 1 if mode == "exact" else strides_between(windows.clipped, grid).area
        total += _attention(level, grid.area**2 // parts) + _attention(level, _local_pairs(windows, local))
        total += level.layers * 2 * grid.area * level.channels**2  # the second output projection
        total += level.layers * BLUR_PER_ELEMENT * taps ** (2 / 3) * grid.area * level.channels
    return total


def fused_cost(base: Size, size: Size, mode: Mode, local: Local = "windows") -> float:
    """The time of the same, in operations.

    Those that are counted, and what moving tokens about takes besides.
    """
    moved = sum(level.layers * _grid(size, level).area * level.channels for level in ATTENTION)
    return fused_operations(base, size, mode, local) + MOVED_PER_ELEMENT[local] * moved


def transformer_cost(tokens: int, width: int = TRANSFORMER_WIDTH, pairs: int | None = None) -> float:
    """Operations of one layer of a transformer over `tokens`: what grows with them, and their attention.

    pairs: of a query and a key; None = all. Good for the shares of stages, not as an absolute number.
    """
    return 24.0 * tokens * width**2 + attention_operations(tokens**2 if pairs is None else pairs, width)


def neighbourhood_pairs(grid: Size, base: Size, frames: int = 1, text: int = 0) -> int:
    """Pairs of a query and a key of one layer with neighbourhoods (`rope.local_attention`).

    grid, base: of the image or of each of `frames`, in tokens. text: tokens that are not image.
    """
    window = WindowGrid(grid, base).clipped
    pairs = attended_pairs(grid, window)
    queries = frames * (pairs // window.area)
    return frames**2 * pairs + queries * text + text * (frames * grid.area + text)


def attention_operations(pairs: int, channels: int) -> float:
    """Operations of one layer's attention: q k^T and its product with v, for each pair of a query and a key.

    channels: of all heads together.
    """
    return 4.0 * pairs * channels


def unet_gib(size: Size, frames: int = 1) -> float:
    """GPU memory while sampling `frames` images at once at `size` (pixels): weights and activations.

    Without what the driver and its libraries take.
    """
    return WEIGHTS_GIB + ACTIVATIONS_GIB * frames * size.area / MEGAPIXEL.area


def freeu_gib(size: Size, frames: int = 1) -> float:
    """GPU memory that FreeU's filter takes for a moment in each call at `size` (pixels).

    It is a part of `unet_gib`.
    """
    return FREEU_GIB * frames * size.area / MEGAPIXEL.area


def vae_gib(size: Size) -> float:
    """GPU memory while decoding `size` (pixels) in one piece."""
    return VAE_GIB * size.area / MEGAPIXEL.area


def _without_attention(size: Size) -> float:
    return CONSTANT + PER_MEGAPIXEL * size.area / MEGAPIXEL.area


def _attention(level: AttentionLevel, pairs: int) -> float:
    """Of all layers of a level."""
    return attention_operations(pairs, level.channels) * level.layers


def _local_pairs(windows: WindowGrid, local: Local) -> int:
    """How many pairs of a query and a key the local branch attends to."""
    if local == "windows":
        return windows.count * windows.clipped.area**2
    return attended_pairs(windows.grid, windows.clipped)


def _grid(size: Size, level: AttentionLevel) -> Size:
    return level_size(to_cells(size), level.level)
