"""Runs of the demo model that several test files make, and what a run could leave behind."""

import comfy.sample
import torch
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.settings import (
    DetailSettings,
    DilationSettings,
    FreeScaleSettings,
    FusionSettings,
)
from freescale_pack.nodes.backbones.unet import dilation_convs

from tools.harness.demo_checkpoint import conditioning

BASE = Size(128, 128)
PARTS = {"fusion": FusionSettings(), "dilation": DilationSettings(), "detail": DetailSettings(1.0)}


def settings(*parts, **changes):
    """Settings with base 128 and only the named parts on."""
    return FreeScaleSettings(
        base=BASE, **{name: PARTS[name] if name in parts else None for name in PARTS}, **changes
    )


def sample(model, side=256, start=2, seed=3, sampler="euler", latent=None, positive=None, cfg=3.0):
    """Three of five steps from a fixed latent at `side` pixels."""
    latent = (
        torch.randn(1, 4, side // 8, side // 8, generator=torch.Generator().manual_seed(1))
        if latent is None
        else latent
    )
    noise = comfy.sample.prepare_noise(latent, seed)
    texts = positive or conditioning("tiger on a blue background"), conditioning("")
    run = {
        "start_step": start,
        "last_step": 10000,
        "force_full_denoise": True,
        "disable_pbar": True,
        "seed": seed,
    }
    return comfy.sample.sample(model, noise, 5, cfg, sampler, "ddim_uniform", *texts, latent, **run)


def fingerprint(model):
    """Everything a run could leave changed on the model object."""
    unet = model.model.diffusion_model
    convs = [(c.dilation, c.padding, tuple(c._reversed_padding_repeated_twice)) for c in dilation_convs(unet)]
    attributes = [
        (path, sorted(module.__dict__), len(module._forward_hooks)) for path, module in unet.named_modules()
    ]
    return (
        convs,
        attributes,
        repr(model.model_options),
        repr(model.wrappers),
        repr(sorted(model.object_patches)),
    )
