"""Writes a tiny random transformer of each family that a template has, and VAEs for them.

The stock Load VAE takes the VAEs as they are, Load Diffusion Model the
transformers with the extension in extensions/tiny_transformers.
"""

import json
from pathlib import Path

import tools.harness.in_process  # noqa: E402, F401, I001 (puts the host on the path, hence first)

# isort: split
import comfy.ldm.wan.vae  # noqa: E402
import comfy.taesd.taesd  # noqa: E402
import safetensors.torch  # noqa: E402
import torch  # noqa: E402

from tools.harness.tiny_transformers import config_of, randomise, tiny_transformer  # noqa: E402

TEXT_WIDTH, POOLED_WIDTH = 128, 64
"""Of the demo model's text encoders, which stand for those that ComfyUI builds in full size alone."""
TRANSFORMERS = {
    "flux": ("FLUX", {"context_in_dim": TEXT_WIDTH, "vec_in_dim": POOLED_WIDTH, "guidance_embed": True}, 0),
    "z_image": ("Z-Image", {"cap_feat_dim": TEXT_WIDTH}, 0),
    "qwen_image": ("Qwen-Image", {"joint_attention_dim": TEXT_WIDTH}, 0),
    "wan": ("Wan", {"text_dim": TEXT_WIDTH}, 0),
    "wan_low_noise": ("Wan", {"text_dim": TEXT_WIDTH}, 1),
}
"""File -> family, what differs from its tiny config, and the seed of the weights."""
WAN_VAE = {
    "dim": 8,
    "z_dim": 16,
    "dim_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "attn_scales": [],
    "temperal_downsample": [False, True, True],
    "dropout": 0.0,
}


SCALE = {"wan": {}, "image": {"vae_scale": torch.tensor(1.0), "vae_shift": torch.tensor(0.0)}}
"""What of a VAE is not random."""


def save(weights: dict[str, torch.Tensor], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file({name: w.detach().contiguous() for name, w in weights.items()}, file)


def make(models: Path) -> None:
    for name, (family, changes, seed) in TRANSFORMERS.items():
        network = tiny_transformer(family, seed, **changes).model.diffusion_model
        config = json.dumps(config_of(family, **changes)[1]).encode()
        weights = network.state_dict() | {"freescale_tiny_config": torch.tensor(list(config)).to(torch.uint8)}
        save(weights, models / "diffusion_models" / f"tiny_{name}.safetensors")
    video, image = comfy.ldm.wan.vae.WanVAE(**WAN_VAE), comfy.taesd.taesd.TAESD(latent_channels=16)
    for name, vae in (("wan", video), ("image", image)):
        randomise(vae, 0)
        save(vae.state_dict() | SCALE[name], models / "vae" / f"tiny_{name}_vae.safetensors")
