"""Between two stages: latent -> picture -> larger picture -> latent, tiled where the picture is too large for the VAE."""

import logging
from typing import Any, Literal

import comfy.utils
from comfy import model_management
from comfy_extras.nodes_upscale_model import ImageUpscaleWithModel
from torch import Tensor

from ..freescale_core.geometry import Size

log = logging.getLogger("FreeScale")

Tiling = Literal["auto", "on", "off"]
TILE = 512
"""Tile side in pixels; the host averages three tilings of about this area."""


def decode(vae: Any, samples: Tensor, tiling: Tiling) -> Tensor:
    """Latent (b, c, h, w) -> picture (b, H, W, 3), 0..1."""
    cell = vae.spacial_compression_decode()
    if _tiled("decode", vae, vae.memory_used_decode(samples.shape, vae.vae_dtype), tiling):
        return vae.decode_tiled(samples, tile_x=TILE // cell, tile_y=TILE // cell, overlap=TILE // cell // 4)
    return vae.decode(samples)


def encode(vae: Any, image: Tensor, tiling: Tiling) -> Tensor:
    """Picture (b, H, W, 3) -> latent (b, c, h, w)."""
    shape = (image.shape[0], 3, image.shape[1], image.shape[2])
    if _tiled("encode", vae, vae.memory_used_encode(shape, vae.vae_dtype), tiling):
        return vae.encode_tiled(image[..., :3], tile_x=TILE, tile_y=TILE, overlap=TILE // 8)
    return vae.encode(image[..., :3])


def resize(image: Tensor, size: Size, method: str, upscale_model: Any = None) -> Tensor:
    """Picture (b, H, W, 3) -> (b, size.height, size.width, 3), in RGB; an upscale model first, if there is one."""
    image = image[..., :3]
    if upscale_model is not None:
        image = ImageUpscaleWithModel.execute(upscale_model, image).result[0]
    moved = comfy.utils.common_upscale(image.movedim(-1, 1), size.width, size.height, method, "disabled")
    return moved.movedim(1, -1)


def _tiled(what: str, vae: Any, needed: float, tiling: Tiling) -> bool:
    """Decided from size and total memory, not from what happens to be free, so that a seed gives one picture."""
    if tiling == "auto":
        total = model_management.get_total_memory(vae.device)
        tiled = needed > total
        log.info("FreeScale: VAE %s needs about %.1f of %.1f GiB: %s.", what, needed / 2**30, total / 2**30, "tiled" if tiled else "whole")
        return tiled
    return tiling == "on"
