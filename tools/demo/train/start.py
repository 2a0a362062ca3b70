"""Start from an earlier checkpoint of the demo model instead of from nothing."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from tools.demo.train.host import TAESD, extension, new_autoencoder, new_text_encoders

UNET_PREFIX = "model.diffusion_model."
VAE_PREFIX = "first_stage_model."
TABLE = "transformer.text_model.embeddings.token_embedding.weight"


def earlier_unet(path: Path, names: set[str]) -> dict[str, torch.Tensor]:
    """The weights called `names`; the three transformers that the earlier UNet has more are left out."""
    weights = {name.removeprefix(UNET_PREFIX): value.float() for name, value in load_file(path).items()}
    # Without its transformer the upsampler of that block is the second part, not the third.
    return {name: weights[name.replace("output_blocks.2.1.conv", "output_blocks.2.2.conv")] for name in names}


def earlier_vae(path: Path) -> TAESD:
    vae = new_autoencoder()
    weights = {name.removeprefix(VAE_PREFIX): value.float() for name, value in load_file(path).items()}
    vae.load_state_dict({name: weights[name] for name in vae.state_dict()})
    return vae.eval().requires_grad_(False)


def earlier_text_encoders(path: Path) -> torch.nn.Module:
    """The earlier text encoders.

    Their token table (id modulo rows) becomes one row for each known word and one for the rest.
    """
    weights = extension.TinySDXL({}).process_clip_state_dict(load_file(path))
    for side in ("clip_l", "clip_g"):
        table = weights[f"{side}.{TABLE}"]
        known = table[torch.tensor(extension.KNOWN_TOKENS) % len(table)]
        weights[f"{side}.{TABLE}"] = torch.cat((table.mean(0, keepdim=True), known))
    text = new_text_encoders()
    text.load_state_dict(
        {name: value.float() for name, value in weights.items() if name in text.state_dict()}, strict=False
    )
    return text.eval().requires_grad_(False)
