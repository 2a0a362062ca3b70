"""Between two stages: latent -> picture -> larger picture -> latent, tiled where the picture is too large for the VAE."""

import logging
from collections.abc import Callable
from typing import Any, Literal

import comfy.utils
from comfy import model_management
from torch import Tensor

from ..freescale_core.geometry import Size

log = logging.getLogger("FreeScale")

Tiling = Literal["auto", "on", "off"]
TILES = (512, 768, 1024, 1536, 2048)
"""Tile sides in pixels; the host averages three tilings of about this area. Larger tiles differ less from the whole picture."""
WHOLE_SHARE = 0.9
"""Of the total memory, for a whole picture: some is never free."""
TILE_SHARE = 0.25
"""Of the total memory, for one tile."""


def decode(vae: Any, samples: Tensor, tiling: Tiling) -> Tensor:
    """Latent (b, c, h, w) -> picture (b, H, W, 3), 0..1."""

    def needed(shape: tuple[int, ...]) -> float:
        return vae.memory_used_decode(shape, vae.vae_dtype)

    if not _tiled("decode", vae, needed(samples.shape), tiling):
        return vae.decode(samples)
    cell = vae.spacial_compression_decode()
    return decode_tiled(vae, samples, _tile_side(vae, lambda side: needed((1, samples.shape[1], side // cell, side // cell))))


def encode(vae: Any, image: Tensor, tiling: Tiling) -> Tensor:
    """Picture (b, H, W, 3) -> latent (b, c, h, w)."""

    def needed(shape: tuple[int, ...]) -> float:
        return vae.memory_used_encode(shape, vae.vae_dtype)

    if not _tiled("encode", vae, needed((image.shape[0], 3, image.shape[1], image.shape[2])), tiling):
        return vae.encode(image[..., :3])
    return encode_tiled(vae, image, _tile_side(vae, lambda side: needed((1, 3, side, side))))


def decode_tiled(vae: Any, samples: Tensor, tile: int) -> Tensor:
    """tile: side in pixels; neighbours share a quarter of it."""
    cells = tile // vae.spacial_compression_decode()
    return vae.decode_tiled(samples, tile_x=cells, tile_y=cells, overlap=cells // 4)


def encode_tiled(vae: Any, image: Tensor, tile: int) -> Tensor:
    """tile: side in pixels; neighbours share an eighth of it."""
    return vae.encode_tiled(image[..., :3], tile_x=tile, tile_y=tile, overlap=tile // 8)


def tile_side(needed: Callable[[int], float], total: float) -> int:
    """The largest tile whose memory, needed(side), is a small part of the total; at least the smallest one."""
    return max((side for side in TILES if needed(side) <= TILE_SHARE * total), default=TILES[0])


def resize(image: Tensor, size: Size, method: str, upscale_model: Any = None) -> Tensor:
    """Picture (b, H, W, 3) -> (b, size.height, size.width, 3), in RGB; an upscale model first, if there is one."""
    image = image[..., :3]
    if upscale_model is not None:
        # Imported here, so that only this feature fails if a release of ComfyUI moves the node.
        from comfy_extras.nodes_upscale_model import ImageUpscaleWithModel

        image = ImageUpscaleWithModel.execute(upscale_model, image).result[0]
    moved = comfy.utils.common_upscale(image.movedim(-1, 1), size.width, size.height, method, "disabled")
    return moved.movedim(1, -1)


def _tiled(what: str, vae: Any, needed: float, tiling: Tiling) -> bool:
    """Decided from size and total memory, not from what happens to be free, so that a seed gives one picture."""
    if tiling == "auto":
        total = model_management.get_total_memory(vae.device)
        tiled = needed > WHOLE_SHARE * total
        log.info("FreeScale: VAE %s needs about %.1f of %.1f GiB: %s.", what, needed / 2**30, total / 2**30, "tiled" if tiled else "whole")
        return tiled
    return tiling == "on"


def _tile_side(vae: Any, needed: Callable[[int], float]) -> int:
    """As with tiling itself: by the total memory, so that a seed gives one picture."""
    side = tile_side(needed, model_management.get_total_memory(vae.device))
    log.info("FreeScale: VAE tiles of %d pixels.", side)
    return side
