"""The layout of a VideoCrafter2 file: what is in it, the UNet's sizes by its shapes, and what it is if not
that."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from .network import INIT_HEADS

UNET, TEXT, VAE = "model.diffusion_model.", "cond_stage_model.model.", "first_stage_model."
SCALE = "scale_arr"
FIRST, FPS = "init_attn.0.proj_in.weight", "fps_embedding.0.weight"
TEMPORAL_CONVOLUTION = ".0.temopral_conv.conv1.0.weight"
NODE = "Load VideoCrafter2"
Weights = Mapping[str, Tensor]


def part(file: Weights, prefix: str) -> dict[str, Tensor]:
    """The file's tensors under a prefix, named without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in file.items() if name.startswith(prefix)}


def unet_of(file: Weights) -> dict[str, Tensor]:
    """The UNet's tensors by their published names.

    Raises:
        ValueError: the file is of another model, which is named.
    """
    unet = part(file, UNET) or dict(file)
    other = _other_model(file, unet)
    if other is not None:
        raise ValueError(
            f"{NODE} expects the checkpoint of VideoCrafter2 (model.ckpt of VideoCrafter/VideoCrafter2), "
            f"got {other}."
        )
    return unet


def _other_model(file: Weights, unet: Weights) -> str | None:
    """What the file is if it is not VideoCrafter2, and what to do with it."""
    if _has(unet, "relative_position_k"):
        return "VideoCrafter 1, whose layers differ: download VideoCrafter2"
    if _has(unet, ".to_k_ip") or _has(file, "image_proj"):
        return "an image-to-video model (DynamiCrafter, VideoCrafter I2V): load it with a pack for it"
    if _has(unet, ".time_stack."):
        return "Stable Video Diffusion: load it with Image Only Checkpoint Loader"
    if _has(unet, "motion_modules."):
        return "a motion module of AnimateDiff: load it with AnimateDiff-Evolved"
    if _has(unet, "down_blocks."):
        return "a file in the layout of diffusers: take the published model.ckpt"
    if "input_blocks.0.0.weight" not in unet:
        return "something else: choose another file"
    if FIRST not in unet and not _has(unet, "temopral_conv"):
        return "a Stable Diffusion checkpoint: load it with Load Checkpoint"
    if unet["input_blocks.0.0.weight"].shape[1] != 4:
        return "an image-to-video model (DynamiCrafter, VideoCrafter I2V): load it with a pack for it"
    if not _has(unet, TEMPORAL_CONVOLUTION):
        return "VideoCrafter 1, whose layers differ: download VideoCrafter2"
    missing = next((name for name in (FIRST, FPS) if name not in unet), None)
    return None if missing is None else f"one without {missing}: the file is damaged, download it again"


def _has(weights: Weights, text: str) -> bool:
    return any(text in name for name in weights)


def unet_config(unet: Weights) -> dict[str, Any]:
    """The arguments of `VideoCrafterUNet` that fit the tensors."""
    channels = unet["input_blocks.0.0.weight"].shape[0]
    levels = list(_levels(unet))
    output = [_depth(unet, f"output_blocks.{n}.1") for n in _numbers(unet, "output_blocks")]
    middle = "middle_block.1"
    return {
        "image_size": 32,
        "in_channels": unet["input_blocks.0.0.weight"].shape[1],
        "out_channels": unet["out.2.weight"].shape[0],
        "model_channels": channels,
        "num_res_blocks": [len(blocks) for blocks in levels],
        "channel_mult": [blocks[-1][0] // channels for blocks in levels],
        "transformer_depth": [depth for blocks in levels for _, depth in blocks],
        "transformer_depth_output": output[::-1],
        "transformer_depth_middle": _depth(unet, middle),
        "num_heads": -1,
        "num_head_channels": unet[FIRST].shape[0] // INIT_HEADS,
        "context_dim": unet[f"{middle}.transformer_blocks.0.attn2.to_k.weight"].shape[1],
        "use_spatial_transformer": True,
        "use_linear_in_transformer": unet[f"{middle}.proj_in.weight"].ndim == 2,
        "num_classes": "sequential",  # ComfyUI's label_emb is VideoCrafter's fps_embedding.
        "adm_in_channels": channels,
        "use_temporal_attention": False,
        "legacy": False,
    }


def _levels(unet: Weights) -> Iterator[list[tuple[int, int]]]:
    """For each level, (channels, transformer blocks) of its residual blocks; a downsampler ends a level."""
    blocks: list[tuple[int, int]] = []
    for number in _numbers(unet, "input_blocks"):
        if number == 0:
            continue
        name = f"input_blocks.{number}"
        if f"{name}.0.op.weight" in unet:
            yield blocks
            blocks = []
        else:
            blocks.append((unet[f"{name}.0.out_layers.3.weight"].shape[0], _depth(unet, f"{name}.1")))
    yield blocks


def _numbers(unet: Weights, group: str) -> list[int]:
    return sorted({int(name.split(".")[1]) for name in unet if name.startswith(f"{group}.")})


def _depth(unet: Weights, layer: str) -> int:
    """Blocks of a transformer; 0 where the layer is none."""
    prefix = f"{layer}.transformer_blocks."
    return len({name.removeprefix(prefix).split(".")[0] for name in unet if name.startswith(prefix)})
