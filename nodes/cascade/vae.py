"""Latent <-> image between two stages, in tiles where the image is too large for the VAE."""

import logging
from collections.abc import Callable

import torch
from comfy import model_management
from torch import Tensor

from ...freescale_core.geometry import Size
from ...freescale_core.planning.plan import Tiling
from ..host.types import Vae

log = logging.getLogger("FreeScale")

TILES = (512, 768, 1024, 1536, 2048)
"""Tile sides in pixels; the host averages three tilings of about this area.

Larger tiles differ less from the whole image.
"""
UNTILED_SHARE = 0.9
"""Share of the total memory that an untiled image may take: some is never free."""
TILE_SHARE = 0.25
"""Share of the total memory that one tile may take."""
PIXEL_BYTES = 2178 * 2
"""What ComfyUI reckons with for each pixel that SDXL's VAE decodes in half precision."""


def decode(vae: Vae, samples: Tensor, tiling: Tiling) -> Tensor:
    """Latent (b, c, h, w) or (b, c, t, h, w) -> images (b, H, W, 3) or (b * t, H, W, 3), 0..1."""

    def needed(shape: tuple[int, ...]) -> float:
        return vae.memory_used_decode(shape, vae.vae_dtype)

    if not _tiled("decode", vae, needed(samples.shape), tiling):
        return _frames_apart(vae.decode(samples))
    cell, outer = vae.spacial_compression_decode(), (1, *samples.shape[1:-2])
    side = _tile_side(vae, lambda side: needed((*outer, side // cell, side // cell)))
    return _frames_apart(decode_tiled(vae, samples, side))


def encode(vae: Vae, image: Tensor, tiling: Tiling) -> Tensor:
    """Images (b, H, W, 3) -> latent (b, c, h, w), or (b, c, 1, h, w) of a VAE that knows frames."""
    if knows_frames(vae):
        # It would take a batch for the frames of one video.
        return torch.cat([encode_video(vae, one[None], tiling) for one in image])

    def needed(shape: tuple[int, ...]) -> float:
        return vae.memory_used_encode(shape, vae.vae_dtype)

    if not _tiled("encode", vae, needed((image.shape[0], 3, image.shape[1], image.shape[2])), tiling):
        return vae.encode(image[..., :3])
    return encode_tiled(vae, image, _tile_side(vae, lambda side: needed((1, 3, side, side))))


def encode_video(vae: Vae, frames: Tensor, tiling: Tiling) -> Tensor:
    """Frames (n, H, W, 3) of one video -> its latent (1, c, t, h, w)."""

    def needed(height: int, width: int) -> float:
        return vae.memory_used_encode((1, 3, len(frames), height, width), vae.vae_dtype)

    if not _tiled("encode", vae, needed(*frames.shape[1:3]), tiling):
        return vae.encode(frames[..., :3])
    return encode_tiled(vae, frames, _tile_side(vae, lambda side: needed(side, side)))


def knows_frames(vae: Vae) -> bool:
    """Whether the latents of a VAE have an axis of frames, which may hold a single one."""
    return getattr(vae, "latent_dim", 2) == 3


def _frames_apart(images: Tensor) -> Tensor:
    """Images (b, H, W, 3) as they are, frames of videos (b, t, H, W, 3) one after the other."""
    return images if images.ndim == 4 else images.flatten(0, 1)


def decode_tiled(vae: Vae, samples: Tensor, tile: int) -> Tensor:
    """tile: side in pixels; neighbours share a quarter of it."""
    cells = tile // vae.spacial_compression_decode()
    return vae.decode_tiled(samples, tile_x=cells, tile_y=cells, overlap=cells // 4)


def encode_tiled(vae: Vae, image: Tensor, tile: int) -> Tensor:
    """tile: side in pixels; neighbours share an eighth of it."""
    return vae.encode_tiled(image[..., :3], tile_x=tile, tile_y=tile, overlap=tile // 8)


def tile_side(needed: Callable[[int], float], total: float) -> int:
    """The largest tile whose memory, needed(side), is a small part of the total, or the smallest one."""
    return max((side for side in TILES if needed(side) <= TILE_SHARE * total), default=TILES[0])


def planned_tile(size: Size, tiling: Tiling, total: float) -> int | None:
    """Side of the tiles (pixels) in which an image of `size` will be decoded by SDXL's VAE;

    None = in one piece.

    total: bytes of the device.
    """
    if tiling == "off" or (tiling == "auto" and PIXEL_BYTES * size.area <= UNTILED_SHARE * total):
        return None
    return tile_side(lambda side: PIXEL_BYTES * side**2, total)


def _tiled(what: str, vae: Vae, needed: float, tiling: Tiling) -> bool:
    """Decided from size and total memory and not from what is free, so that a seed gives one image."""
    if tiling == "auto":
        total = model_management.get_total_memory(vae.device)
        tiled = needed > UNTILED_SHARE * total
        log.info(
            "FreeScale: VAE %s needs about %.1f of %.1f GiB: %s.",
            what,
            needed / 2**30,
            total / 2**30,
            "tiled" if tiled else "whole",
        )
        return tiled
    return tiling == "on"


def _tile_side(vae: Vae, needed: Callable[[int], float]) -> int:
    """As with tiling itself: by the total memory, so that a seed gives one image."""
    side = tile_side(needed, model_management.get_total_memory(vae.device))
    log.info("FreeScale: VAE tiles of %d pixels.", side)
    return side
