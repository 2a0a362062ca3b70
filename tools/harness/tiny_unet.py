"""The tiny random UNet of SDXL's topology that the golden data was made with, as a MODEL of the host."""

import os
from pathlib import Path

import comfy.sd
import comfy.supported_models
import safetensors.torch
import torch

from tools import ROOT

OURS = ROOT / "tests" / "golden"
GOLDEN = Path(os.environ.get("FREESCALE_GOLDEN", OURS))
LATENT_SCALE = 0.13025


class GoldenSDXL(comfy.supported_models.SDXL):
    unet_config = {
        "model_channels": 32,
        "context_dim": 64,
        "adm_in_channels": 1600,
        "use_linear_in_transformer": True,
        "use_temporal_attention": False,
    }
    unet_extra_config = {"num_heads": -1, "num_head_channels": 32}


def tiny_model(dtype=torch.float32):
    """A fresh MODEL."""
    if GoldenSDXL not in comfy.supported_models.models:
        comfy.supported_models.models.append(GoldenSDXL)
    folder = GOLDEN if (GOLDEN / "tiny_unet.safetensors").exists() else OURS
    weights = safetensors.torch.load_file(folder / "tiny_unet.safetensors")
    return comfy.sd.load_diffusion_model_state_dict(
        {k: v.float() for k, v in weights.items()}, model_options={"dtype": dtype}
    )
