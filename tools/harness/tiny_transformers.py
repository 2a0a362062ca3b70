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
SD3 = {
    "input_size": None,
    "patch_size": 2,
    "in_channels": 16,
    "out_channels": 16,
    "depth": 1,
    "adm_in_channels": 8,
    "context_embedder_config": {
        "target": "torch.nn.Linear",
        "params": {"in_features": 12, "out_features": 64},
    },
    "num_patches": 24 * 24,
    "pos_embed_max_size": 24,
}
"""Its table of positions is learned, so it is none of the families; sides of up to 384 px."""
TEXT_TOKENS, TEXT_WIDTH = 7, 12


def config_of(family, **changes):
    """ComfyUI's class of a family or SD3.5, by name, and the config of a tiny network of it."""
    name, config = FAMILIES.get(family, ("SD3", SD3))
    known = {parameter for parameter in inspect.signature(FluxParams).parameters}
    config = {**config, **changes}
    if family == "FLUX" and "txt_ids_dims" not in known:  # ComfyUI before 0.4.
        config.pop("txt_ids_dims")
    return name, config


def tiny_transformer(family, seed=0, operations=comfy.ops.disable_weight_init, **changes):
    """A fresh MODEL of a family or SD3.5, float32 on the CPU. operations: of comfy.ops, for its layers."""
    name, config = config_of(family, **changes)
    host_config = getattr(comfy.supported_models, name)(config)
    host_config.set_inference_dtype(torch.float32, None)
    host_config.custom_operations = operations
    model = host_config.get_model({}, "")
    randomise(model.diffusion_model, seed)
    device = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(model, load_device=device, offload_device=device)


def randomise(network, seed):
    """Fill a network's parameters, which ComfyUI's layers leave as the memory was."""
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
        if isinstance(table := getattr(network, "pos_embed", None), torch.Tensor):  # SD3.5's, a buffer.
            table.copy_(torch.randn(table.shape, generator=generator) * 0.1)


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


class TinyVae:
    """Stands for a VAE: the mean of each cell, its difference to the neighbours lost. Without a network.

    Latents have `channels` channels and, with frames, an axis of them; every frame of a video is a latent's.
    """

    device, vae_dtype, first_stage_model = torch.device("cpu"), torch.float32, None

    def __init__(self, channels=16, cell=8, frames=False):
        self.latent_channels, self._cell, self.latent_dim = channels, cell, 3 if frames else 2
        self.first_stage_model = self
        self.encoded, self.decoded = [], []

    def encode(self, pixels):
        self.encoded.append(tuple(pixels.shape))
        small = torch.nn.functional.avg_pool2d(pixels.movedim(-1, 1), self._cell)
        samples = small.repeat(1, -(-self.latent_channels // 3), 1, 1)[:, : self.latent_channels] * 2 - 1
        return samples.movedim(0, 1)[None] if self.latent_dim == 3 else samples

    def decode(self, samples):
        self.decoded.append(tuple(samples.shape))
        flat = samples.movedim(2, 1).flatten(0, 1) if samples.ndim == 5 else samples
        large = torch.nn.functional.interpolate(flat[:, :3], scale_factor=self._cell, mode="nearest")
        images = ((large + 1) / 2).clamp(0, 1).movedim(1, -1)
        return images.unflatten(0, (len(samples), -1)) if samples.ndim == 5 else images

    def encode_tiled(self, pixels, **tiles):
        return self.encode(pixels)

    def decode_tiled(self, samples, **tiles):
        return self.decode(samples)

    def memory_used_decode(self, shape, dtype):
        return 0.0

    def memory_used_encode(self, shape, dtype):
        return 0.0

    def spacial_compression_decode(self):
        return self._cell
