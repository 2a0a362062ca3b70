"""Stable Diffusion's UNets: which preset fits, and which layers FreeScale works on, found by type."""

import logging
from collections.abc import Iterator
from typing import Any

import comfy.model_base
from comfy.ldm.modules.attention import SpatialTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import Downsample, ResBlock
from torch import Tensor, nn

from ...freescale_core.presets import PRESETS
from ...freescale_core.settings import FreeScaleSettings
from ..host.releases import preferred_kernel
from ..host.types import Model
from .videocrafter.model import VideoCrafter2

log = logging.getLogger("FreeScale")
SD15_CONTEXT = 768
"""Channels of the prompt that SD1.5 takes."""
BlockKey = tuple[str, int]
"""("input" | "middle" | "output", number): how ComfyUI names a block to its attention patches."""


def auto_preset(model: Model) -> FreeScaleSettings:
    """The preset that fits a MODEL: those of video models, SDXL for its kind, SD1.5 for other UNets.

    Turbo and few-step models look like SDXL: their preset is chosen by hand.
    """
    if isinstance(model.model, comfy.model_base.SDXL | comfy.model_base.SDXLRefiner):
        return PRESETS["SDXL"]
    if isinstance(model.model, VideoCrafter2):
        return PRESETS["VideoCrafter2"]
    if type(model.model) is comfy.model_base.SVD_img2vid:  # Not SV3D, which is trained at 576.
        return PRESETS["SVD"]
    if model.model.model_config.unet_config.get("context_dim") != SD15_CONTEXT:
        log.warning(
            "FreeScale: preset Auto does not know this model and takes SD1.5's base size 512: set the base "
            "size by hand."
        )
    return PRESETS["SD1.5"]


def require_text_width(model: Model, context: Tensor) -> None:
    """Raise ValueError unless a prompt (b, tokens, channels) fits the MODEL's cross-attention."""
    expected = model.model.model_config.unet_config.get("context_dim")
    if context.shape[-1] != expected:
        raise ValueError(
            f"FreeScale Prompt Region expects a text with {expected} channels for this model, got "
            f"{context.shape[-1]}: "
            "encode it with the CLIP of the same checkpoint."
        )


def dilation_convs(unet: Any) -> list[nn.Conv2d]:
    """The 3x3 convolutions of eq. 5: last downsampler, residual blocks of the deepest level, middle block.

    Nine in SDXL: input_blocks.6.0.op, input_blocks.{7,8}.0 and middle_block.{0,2}, two each.
    """
    below: list[Any] = []
    for block in unet.input_blocks:
        if any(isinstance(layer, Downsample) for layer in block):
            below = []
        below.append(block)
    modules = [*below, unet.middle_block] if unet.middle_block is not None else below
    return [conv for block in modules for layer in block for conv in _main_convs(layer)]


def attention_blocks(unet: Any) -> list[BlockKey]:
    """The keys of all blocks that hold self-attention."""
    return list(dict.fromkeys(key for key, _ in _transformers(unet)))


def preferred_attention(unet: Any) -> dict[tuple[str, BlockKey, int], Any]:
    """The attention kernels that a checkpoint prescribes for single layers, such as int8.

    There are none in releases before 0.38.

    Keys: ("attn1" | "attn2", block, transformer index). ComfyUI's own layer passes them on; a layer whose
    attention is replaced must, too.
    """
    found = {}
    for key, layer in _transformers(unet):
        for index, transformer in enumerate(layer.transformer_blocks):
            for name in ("attn1", "attn2"):
                kernel = preferred_kernel(getattr(transformer, name, None))
                if kernel is not None:
                    found[name, key, index] = kernel
    return found


def _transformers(unet: Any) -> Iterator[tuple[BlockKey, Any]]:
    """Every layer that holds attention over the grid of an image, with the key of its block."""
    return (found for found in all_transformers(unet) if not getattr(found[1], "is_over_time_alone", False))


def all_transformers(unet: Any) -> Iterator[tuple[BlockKey, Any]]:
    """Every layer that holds attention, over time too, with the key of its block."""
    groups = {"input": unet.input_blocks, "middle": [unet.middle_block], "output": unet.output_blocks}
    for name, blocks in groups.items():
        for number, block in enumerate(blocks):
            yield from (
                ((name, number), layer) for layer in block or () if isinstance(layer, SpatialTransformer)
            )


def _main_convs(layer: Any) -> Iterator[nn.Conv2d]:
    """The 3x3 convolutions on a layer's main path (not the 1x1 skip connections)."""
    if isinstance(layer, Downsample):
        candidates = [layer.op]
    elif isinstance(layer, ResBlock):
        candidates = [*layer.in_layers, *layer.out_layers]
    else:
        candidates = []
    return (conv for conv in candidates if isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3))
