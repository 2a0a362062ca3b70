"""Calls whose time is taken: unpatched, with FreeScale, and with scale fusion written down plainly."""

from collections.abc import Callable
from typing import Any

import comfy.ops
import torch
from comfy.ldm.modules.attention import SpatialTransformer
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.settings import FreeScaleSettings
from freescale_pack.nodes import fused_attention
from freescale_pack.nodes.attention_call import SIGMA_KEY
from freescale_pack.nodes.stage_run import StageRun
from freescale_pack.nodes.unet import BlockKey, attention_blocks
from torch import Tensor

from tests.host.demo_model import demo_checkpoint

from . import oracle

Calls = dict[str, Callable[[], Tensor]]


def demo_unet_calls() -> Calls:
    """The whole demo UNet at twice its base size, cond and uncond in one batch."""
    model = demo_checkpoint()[0].model
    unet, config = model.diffusion_model, model.model_config.unet_config
    x, timesteps = _random(2, 4, 64, 64), torch.full((2,), 500.0)
    context, y = _random(2, 77, config["context_dim"]), _random(2, config["adm_in_channels"])
    run = StageRun(FreeScaleSettings(), Size(32, 32), Size(64, 64), 0)

    def call(options: dict[str, Any]) -> Tensor:
        return unet(x, timesteps, context, y=y, transformer_options=options)

    return _three(run, attention_blocks(unet), call, {})


def sdxl_level_calls() -> Calls:
    """One transformer block of SDXL's quarter-resolution level (1280 channels, 20 heads) with random weights, at 2048 px."""
    block = SpatialTransformer(1280, 20, 64, context_dim=2048, use_linear=True, operations=comfy.ops.disable_weight_init)
    generator = torch.Generator().manual_seed(0)
    for weights in block.parameters():
        weights.normal_(0.0, weights.shape[-1] ** -0.5, generator=generator)
    x, context = _random(1, 1280, 64, 64), _random(1, 77, 2048)
    run = StageRun(FreeScaleSettings(), Size(128, 128), Size(256, 256), 0)

    def call(options: dict[str, Any]) -> Tensor:
        return block(x, context, transformer_options=options)

    return _three(run, [("middle", 0)], call, {"block": ("middle", 0), "original_shape": [1, 4, 256, 256]})


def _three(run: StageRun, blocks: list[BlockKey], call: Callable[[dict[str, Any]], Tensor], options: dict[str, Any]) -> Calls:
    def with_(install: Callable[..., None] | None) -> Callable[[], Tensor]:
        installed = {SIGMA_KEY: 3.0, **options}
        if install is not None:
            install(installed, run, blocks)
        return lambda: call(dict(installed))

    return {"unpatched": with_(None), "FreeScale": with_(fused_attention.install), "plain": with_(oracle.install)}


def _random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))
