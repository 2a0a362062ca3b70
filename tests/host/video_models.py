"""Tiny video models that several test files sample."""

from functools import cache

import comfy.model_patcher
import comfy.sample
import comfy.samplers
import comfy.supported_models
import torch
from freescale_pack.nodes.video_nodes import FreeScaleVideoCrafterTextToVideo

from tools.harness.golden_video_cases import golden_video_model

STEPS, CFG, SEED = 2, 3.0, 5
TEXT_WIDTH = 40
BASE = (128, 64)
"""Width and height in pixels."""


def videocrafter(dtype=torch.float32):
    """VideoCrafter2 in small, with random weights."""
    return golden_video_model(dtype)


def texts(seed=0):
    """Positive and negative conditioning of random numbers."""
    drawn = torch.randn(2, 1, 7, TEXT_WIDTH, generator=torch.Generator().manual_seed(seed))
    return [[drawn[0], {}]], [[drawn[1], {}]]


def text_to_video(width=BASE[0], height=BASE[1], frames=3, fps=16):
    """Conditioning and empty latent as the node gives them."""
    return FreeScaleVideoCrafterTextToVideo.execute(*texts(), width, height, frames, fps).result


def sample(
    model,
    positive,
    negative,
    latent,
    *,
    first=None,
    scheduler="ddim_uniform",
    sampler="euler",
    cfg=CFG,
    seed=SEED,
    steps=STEPS,
):
    """The samples of KSampler, or of KSampler (Advanced) from step `first` on."""
    samples = latent["samples"] if isinstance(latent, dict) else latent
    noise = comfy.sample.prepare_noise(samples, seed)
    return comfy.sample.sample(
        model,
        noise,
        steps,
        cfg,
        sampler,
        scheduler,
        positive,
        negative,
        samples,
        start_step=first,
        last_step=None if first is None else 10000,
        force_full_denoise=first is not None,
        disable_pbar=True,
        seed=seed,
    )


def relative_error(got, expected):
    return float((got - expected).norm() / expected.norm())


SVD_UNET = {
    "image_size": 32,
    "in_channels": 8,
    "out_channels": 4,
    "model_channels": 32,
    "num_res_blocks": [1, 1],
    "channel_mult": [1, 2],
    "transformer_depth": [1, 1],
    "transformer_depth_output": [1, 1, 1, 1],
    "transformer_depth_middle": 1,
    "num_heads": -1,
    "num_head_channels": 16,
    "context_dim": TEXT_WIDTH,
    "use_spatial_transformer": True,
    "use_linear_in_transformer": True,
    "num_classes": "sequential",
    "adm_in_channels": 768,
    "use_temporal_attention": True,
    "use_temporal_resblock": True,
    "extra_ff_mix_layer": True,
    "use_spatial_context": True,
    "merge_strategy": "learned_with_images",
    "merge_factor": 0.0,
    "video_kernel_size": [3, 1, 1],
    "legacy": False,
}


FULL_SVD_UNET = {
    **SVD_UNET,
    "model_channels": 320,
    "num_res_blocks": [2, 2, 2, 2],
    "channel_mult": [1, 2, 4, 4],
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
    "num_head_channels": 64,
    "context_dim": 1024,
}
"""The published UNet of SVD and of SVD-XT, which differ in weights alone."""


class TinySvd(comfy.supported_models.SVD_img2vid):
    unet_extra_config = {"num_heads": -1, "num_head_channels": 16}


@cache
def stable_video_diffusion():
    """Stable Video Diffusion in small, with random weights."""
    config = TinySvd(dict(SVD_UNET))
    config.set_inference_dtype(torch.float32, None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        model = config.get_model({}, device="cpu")
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.08)
    return comfy.model_patcher.ModelPatcher(model.eval(), torch.device("cpu"), torch.device("cpu"))


def image_to_video(width=BASE[0], height=BASE[1], frames=3):
    """Conditioning and empty latent as SVD_img2vid_Conditioning gives them, of random numbers."""
    drawn = torch.Generator().manual_seed(2)
    seen = torch.randn(1, 1, TEXT_WIDTH, generator=drawn)
    shape = (1, 4, height // 8, width // 8)
    told = {"motion_bucket_id": 127, "fps": 6, "augmentation_level": 0.0}
    image = torch.randn(shape, generator=drawn)
    positive = [[seen, {**told, "concat_latent_image": image}]]
    negative = [[torch.zeros_like(seen), {**told, "concat_latent_image": torch.zeros(shape)}]]
    return positive, negative, {"samples": torch.zeros(frames, *shape[1:])}
