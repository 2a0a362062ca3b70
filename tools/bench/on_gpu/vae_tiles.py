"""What decoding a large picture takes, by tile and number type."""

from collections.abc import Iterator
from typing import Any

import torch
from comfy import model_management
from freescale_pack.freescale_core.geometry import LATENT_CELL
from freescale_pack.nodes.cascade.vae import decode_tiled
from torch import Tensor

from tools.bench.on_gpu.clock import attempted
from tools.bench.on_gpu.log_lines import Heard
from tools.bench.on_gpu.record import Row
from tools.bench.on_gpu.subject import Subject, noise

TILES = (512, 768, 1024)


def vae_tiles(subject: Subject) -> Iterator[Row]:
    """Decoding 4 times the base side, by tile and number type. Whole, where the memory lets it."""
    types = {"as loaded": None} if subject.tiny else {"fp16": torch.float16, "bf16": torch.bfloat16}
    tiles = (128,) if subject.tiny else TILES
    samples = noise((1, 4, *subject.cells(2 if subject.tiny else 4)), 0)
    for name, dtype in types.items():
        vae = subject.vae(dtype)
        vae.decode(samples[..., :32, :32])  # Kernels are chosen, weights are moved.
        for tile in (*tiles, None):
            yield {
                "numbers": name,
                "tile": tile,
                "side": samples.shape[-1] * LATENT_CELL,
                **_decoded(subject, vae, samples, tile),
            }
        model_management.unload_all_models()


def _decoded(subject: Subject, vae: Any, samples: Tensor, tile: int | None) -> Row:
    decode = (lambda: decode_tiled(vae, samples, tile)) if tile else (lambda: vae.decode(samples))
    with Heard() as heard:
        picture, row = attempted(subject.device, decode)
    if picture is not None:
        row["finite"] = bool(picture.isfinite().all())
        if heard.about("tiled"):
            row["outcome"] = "tiled by ComfyUI, since memory ran out"
    return row
