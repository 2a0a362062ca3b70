"""Cascades of the demo model that several test files make."""

import torch
from freescale_pack.freescale_core.schedule import ddim_uniform_timesteps, restart_step
from freescale_pack.nodes.cascade_node import FreeScaleCascade
from freescale_pack.nodes.model_patch_node import FreeScaleModelPatch

STEPS, CFG, SEED, SCHEDULER = 5, 3.0, 11, "ddim_uniform"
FIRST = restart_step(ddim_uniform_timesteps(STEPS), 0.3)


BASE = 128


def empty(side=BASE):
    return {"samples": torch.zeros(1, 4, side // 8, side // 8)}


def patched(model, **changes):
    values = {
        "preset": "Auto",
        "speed": "Exact",
        "alpha": 0.5,
        "base_width": BASE,
        "base_height": BASE,
        **changes,
    }
    return FreeScaleModelPatch.execute(model, **values).result[0]


def cascade(model, texts, vae, sampler="euler", factor=4.0, **start):
    return FreeScaleCascade.execute(
        model, *texts, vae, SEED, STEPS, CFG, sampler, SCHEDULER, factor, **start
    ).result
