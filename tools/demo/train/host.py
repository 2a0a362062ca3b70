"""The host's own modules, for training: the UNet, text and VAE classes that will load the checkpoint are the
ones that are trained."""

from typing import Any

import tools.harness.in_process  # noqa: F401, I001 (ComfyUI, then the pack, ready for use in this process)

# isort: split
import comfy.clip_model
import comfy.ldm.modules.diffusionmodules.openaimodel as openaimodel
import comfy.ops
import comfy.sdxl_clip
import torch
from comfy.taesd.taesd import TAESD

from tools.demo import host_extension as extension


def _layer_for_training(
    layer: Any, x: torch.Tensor, mask: torch.Tensor | None = None, optimized_attention: Any = None
) -> torch.Tensor:
    """The host's CLIP layer without its in-place additions, which have no gradient."""
    x = x + layer.self_attn(layer.layer_norm1(x), mask, optimized_attention)
    return x + layer.mlp(layer.layer_norm2(x))


comfy.clip_model.CLIPLayer.forward = _layer_for_training

UNET = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 64,
    "channel_mult": [1, 2, 2],
    "num_res_blocks": [2, 2, 2],
    "transformer_depth": [0, 0, 1, 1, 1, 1],
    "transformer_depth_output": [0, 0, 0, 1, 1, 1, 0, 0, 0],
    "transformer_depth_middle": 1,
    "num_head_channels": 64,
    "use_spatial_transformer": True,
    "use_linear_in_transformer": True,
    "context_dim": 2 * extension.TEXT_WIDTH,
    "num_classes": "sequential",
    "adm_in_channels": extension.TEXT_WIDTH + extension.SIZE_EMBEDDING,
}
"""SDXL's topology (three levels, attention on the lower two and in the middle), small. The lowest level has
none on its way up: in an earlier checkpoint with it, leaving it out changed the loss by 0.3 % and saved 2
MB."""


def new_unet() -> torch.nn.Module:
    unet = openaimodel.UNetModel(**UNET, dtype=torch.float32, operations=comfy.ops.disable_weight_init)
    _initialise(unet)
    for module in unet.modules():  # every branch starts as nothing, the picture passes through
        if isinstance(module, openaimodel.ResBlock):
            torch.nn.init.zeros_(module.out_layers[-1].weight)
    torch.nn.init.zeros_(unet.out[-1].weight)
    return unet


def new_text_encoders() -> Any:
    text = extension.TinyTextEncoders(dtype=torch.float32)
    _initialise(text)
    for encoder in (text.clip_l, text.clip_g):
        torch.nn.init.normal_(encoder.transformer.text_model.embeddings.position_embedding.weight, std=0.01)
    for parameter in text.parameters():
        parameter.requires_grad_(True)
    return text


def new_autoencoder() -> TAESD:
    vae = TAESD(latent_channels=4)
    _initialise(vae)
    return vae


def tokenizer() -> comfy.sdxl_clip.SDXLTokenizer:
    return comfy.sdxl_clip.SDXLTokenizer()


def _initialise(module: torch.nn.Module) -> None:
    """PyTorch's own start values; the host's layers skip them because they expect a checkpoint."""
    for part in module.modules():
        for kind in (
            torch.nn.Linear,
            torch.nn.Conv2d,
            torch.nn.Embedding,
            torch.nn.LayerNorm,
            torch.nn.GroupNorm,
        ):
            if isinstance(part, kind):
                kind.reset_parameters(part)
