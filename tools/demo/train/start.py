"""Start from an earlier checkpoint of the demo model instead of from nothing."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from tools.demo.train.host import TAESD, extension, new_autoencoder, new_text_encoders

UNET_PREFIX = "model.diffusion_model."
VAE_PREFIX = "first_stage_model."


def earlier_unet(path: Path, names: set[str]) -> dict[str, torch.Tensor]:
    """The weights called `names`."""
    weights = {name.removeprefix(UNET_PREFIX): value.float() for name, value in load_file(path).items()}
    return {name: weights[name] for name in names}


def earlier_vae(path: Path) -> TAESD:
    vae = new_autoencoder()
    weights = {name.removeprefix(VAE_PREFIX): value.float() for name, value in load_file(path).items()}
    vae.load_state_dict({name: weights[name] for name in vae.state_dict()})
    return vae.eval().requires_grad_(False)


def earlier_text_encoders(path: Path) -> torch.nn.Module:
    weights = extension.TinySDXL({}).process_clip_state_dict(load_file(path))
    text = new_text_encoders()
    known = {name: value.float() for name, value in weights.items() if name in text.state_dict()}
    text.load_state_dict(known, strict=False)
    return text.eval().requires_grad_(False)
