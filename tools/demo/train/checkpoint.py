"""One file in the layout of an SDXL checkpoint, fp16."""

import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from tools.demo.train.host import extension
from tools.demo.train.pictures import PACKAGE
from tools.demo.train.start import UNET_PREFIX, VAE_PREFIX
from tools.demo.train.unet import phases


def save_checkpoint(
    path: Path, unet: dict[str, torch.Tensor], text: torch.nn.Module, vae: torch.nn.Module, start: Path | None
) -> None:
    """start: the earlier checkpoint that this one goes on from, if any; its hash goes into the metadata."""
    weights = {UNET_PREFIX + name: value for name, value in unet.items()}
    weights |= extension.TinySDXL({}).process_clip_state_dict_for_saving(_text_weights(text))
    weights |= {VAE_PREFIX + name: value for name, value in vae.state_dict().items()}
    # The two numbers that scale latents stay in full precision.
    halves = {
        name: value.detach().cpu().to(torch.float16 if value.ndim else torch.float32).contiguous()
        for name, value in weights.items()
    }
    save_file(
        {name: value for name, value in halves.items() if "position_ids" not in name},
        path,
        metadata=_metadata(start),
    )


def _text_weights(text: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value for name, value in text.state_dict().items() if "logit_scale" not in name}


def _metadata(start: Path | None) -> dict[str, str]:
    recipe = {
        phase.name: {"steps": phase.steps, "batch": phase.batch, "lr": phase.lr} for phase in phases(start)
    }
    return {
        "format": "pt",
        "modelspec.title": "FreeScale demo model, a tiny SDXL",
        "modelspec.license": "GPL-3.0-or-later; training pictures MIT, copyright (c) Microsoft Corporation",
        "freescale.data": f"Microsoft Fluent Emoji, SVG bodies of the npm package {PACKAGE}",
        "freescale.recipe": json.dumps(recipe),
        "freescale.script": "tools/demo/train",
        "freescale.start": hashlib.sha256(start.read_bytes()).hexdigest() if start else "none",
    }
