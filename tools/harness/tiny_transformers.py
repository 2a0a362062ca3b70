"""Tiny random transformers of the families that FreeScale's rotary positions are for, as ComfyUI builds them.

Their q and k norms have weights of 2.5: with smaller ones attention is nearly uniform, and every test of
positions would pass on nothing.
"""

import inspect

import comfy.model_patcher
import comfy.ops
import comfy.supported_models
import torch
from comfy.ldm.flux.model import FluxParams

SHARP = 2.5
NORMS = ("query_norm", "key_norm", "norm_q", "norm_k", "norm_added_q", "norm_added_k", "q_norm", "k_norm")
LUMINA = {
    "image_model": "lumina2",
    "in_channels": 16,
    "dim": 256,
    "n_layers": 1,
    "n_refiner_layers": 1,
    "n_heads": 8,
    "multiple_of": 32,
    "ffn_dim_multiplier": 1.0,
    "qk_norm": True,
    "cap_feat_dim": 12,
    "axes_dims": [8, 12, 12],
    "axes_lens": [32, 64, 64],
}
FLUX = {
    "image_model": "flux",
    "in_channels": 16,
    "out_channels": 16,
    "vec_in_dim": 8,
    "context_in_dim": 12,
    "hidden_size": 64,
    "mlp_ratio": 2.0,
    "num_heads": 2,
    "depth": 1,
    "depth_single_blocks": 1,
    "axes_dim": [8, 12, 12],
    "theta": 10000,
    "patch_size": 2,
    "qkv_bias": True,
    "guidance_embed": False,
    "txt_ids_dims": [],
}
WAN = {
    "image_model": "wan2.1",
    "model_type": "t2v",
    "in_dim": 16,
    "out_dim": 16,
    "dim": 64,
    "num_heads": 2,
    "ffn_dim": 96,
    "freq_dim": 32,
    "text_dim": 12,
    "num_layers": 2,
    "text_len": 7,
}
QWEN = {
    "image_model": "qwen_image",
    "in_channels": 64,
    "out_channels": 16,
    "num_layers": 2,
    "attention_head_dim": 32,
    "num_attention_heads": 2,
    "joint_attention_dim": 12,
    "axes_dims_rope": (8, 12, 12),
}
FAMILIES = {
    "FLUX": ("Flux", FLUX),
    "Qwen-Image": ("QwenImage", QWEN),
    "Lumina 2": ("Lumina2", LUMINA),
    "Z-Image": (
        "ZImage",
        {
            **LUMINA,
            "rope_theta": 256.0,
            "z_image_modulation": True,
            "pad_tokens_multiple": 32,
            "time_scale": 1000.0,
        },
    ),
    "Wan": ("WAN21_T2V", WAN),
    "Wan 2.2 5B": ("WAN22_T2V", {**WAN, "in_dim": 48, "out_dim": 48}),
}
VIDEOS = ("Wan", "Wan 2.2 5B")
TEXT_TOKENS, TEXT_WIDTH = 7, 12


def tiny_transformer(family, seed=0, **changes):
    """A fresh MODEL of a family, float32 on the CPU."""
    name, config = FAMILIES[family]
    known = {parameter for parameter in inspect.signature(FluxParams).parameters}
    config = {**config, **changes}
    if family == "FLUX" and "txt_ids_dims" not in known:  # ComfyUI before 0.4.
        config.pop("txt_ids_dims")
    host_config = getattr(comfy.supported_models, name)(config)
    host_config.set_inference_dtype(torch.float32, None)
    host_config.custom_operations = comfy.ops.disable_weight_init
    model = host_config.get_model({}, "")
    _randomise(model.diffusion_model, seed)
    device = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(model, load_device=device, offload_device=device)


def _randomise(network, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if any(part in NORMS for part in name.split(".")):
                weight.fill_(SHARP)
            elif weight.ndim < 2:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.1 + ("norm" in name))
            else:
                fan = weight[0].numel()
                weight.copy_(torch.randn(weight.shape, generator=generator) * fan**-0.5)


def prompt(seed=5, batch=1):
    """A random encoded prompt for any of them, as a CONDITIONING."""
    generator = torch.Generator().manual_seed(seed)
    text = torch.randn(batch, TEXT_TOKENS, TEXT_WIDTH, generator=generator)
    pooled = torch.randn(batch, 8, generator=generator)
    return [[text, {"pooled_output": pooled, "guidance": 3.5}]]


def latent(family, height, width, seed=1, batch=1, frames=2):
    """A random latent of a family's own shape; sides in latent cells."""
    channels = 48 if family == "Wan 2.2 5B" else 16
    frames = (frames,) if family in VIDEOS else (1,) if family == "Qwen-Image" else ()
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, channels, *frames, height, width, generator=generator)
