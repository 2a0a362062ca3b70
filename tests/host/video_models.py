"""Tiny video models that several test files sample."""

import comfy.sample
import comfy.samplers
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
    model, positive, negative, latent, *, first=None, sampler="euler", cfg=CFG, seed=SEED, steps=STEPS
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
        "ddim_uniform",
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
