"""Random inputs to every node, to chains of them and to the runs behind them.

Each gives a result or one clear sentence: never an error of another kind, never a changed model, never an
endless run.
"""

import tools.harness.in_process  # noqa: F401, I001 (ComfyUI, then the pack)

# isort: split
import random
import time
from unittest import mock

import comfy.sample
import comfy.utils
import torch
from comfy.model_management import load_models_gpu
from comfy_api.latest import ui
from freescale_pack.nodes.cascade.kept import KEPT
from freescale_pack.nodes.cascade_node import FreeScaleCascade
from freescale_pack.nodes.model_patch_node import FreeScaleModelPatch
from freescale_pack.nodes.part_nodes import (
    FreeScaleDetailControl,
    FreeScaleDilatedConv,
    FreeScaleRoPE,
    FreeScaleScaleFusion,
)
from freescale_pack.nodes.plan_node import FreeScalePlan
from freescale_pack.nodes.region_nodes import FreeScaleDetailRegion, FreeScalePromptRegion
from freescale_pack.nodes.stage_override_node import FreeScaleStageOverride
from freescale_pack.nodes.upscale_node import FreeScaleUpscale
from freescale_pack.nodes.video_nodes import FreeScaleVideoCrafterSampler, FreeScaleVideoCrafterTextToVideo

from tools.campaign.parts.model_state import ModelState
from tools.campaign.parts.sentence import SENTENCE
from tools.campaign.parts.subjects import BASE, Preview
from tools.campaign.parts.values import Values
from tools.campaign.runner import CaseResult
from tools.harness.demo_checkpoint import conditioning
from tools.harness.tiny_transformers import latent, prompt

MANY_SECONDS = 120
"""A case takes a few; more is a run that does not come to an end."""
ANY_SIZE, SMALL = 16384, 128
"""Pixels a side, of nodes that only count and of those that compute."""
MOST_CELLS, MOST_STEPS = 320, 4
"""Of a run that is really sampled; larger ones end at once."""
COUNT = (
    *(FreeScaleModelPatch, FreeScaleScaleFusion, FreeScaleDilatedConv, FreeScaleDetailControl, FreeScaleRoPE),
    *(FreeScalePlan, FreeScaleStageOverride, FreeScaleVideoCrafterSampler),
)
COMPUTE = (FreeScaleDetailRegion, FreeScalePromptRegion, FreeScaleVideoCrafterTextToVideo)
STARTS = {FreeScaleUpscale: ("samples", "image"), FreeScaleCascade: ("latent", "image")}
"""Nodes that take exactly one of two inputs."""
PARTS = {
    True: (FreeScaleScaleFusion, FreeScaleDilatedConv, FreeScaleDetailControl),
    False: (FreeScaleRoPE, FreeScaleDetailControl),
}
"""Whether the model is a UNet -> the nodes that a chain is made of."""


def run_case(draw: random.Random):
    with torch.inference_mode():
        return draw.choice((counting_node, counting_node, computing_node, computing_node, chain))(draw)


def counting_node(draw: random.Random):
    node, values = draw.choice(COUNT), Values(draw, ANY_SIZE)
    return tried(node.__name__, values.model, lambda: node.execute(**values.inputs(node)).result)


def computing_node(draw: random.Random):
    node, values = draw.choice((*COMPUTE, *STARTS)), Values(draw, SMALL)
    inputs = values.inputs(node)
    if node in STARTS and draw.random() < 0.9:
        inputs[draw.choice(STARTS[node])] = None
    return tried(node.__name__, values.model, lambda: node.execute(**inputs).result)


def chain(draw: random.Random):
    """Any settings that the nodes take, and a run of a few steps with them."""
    values = Values(draw, ANY_SIZE)
    model, nodes = values.model, [draw.choice(PARTS[values.is_unet]) for _ in range(draw.choice((0, 1, 2)))]
    cells = draw.randrange(9, 16), draw.randrange(9, 16)
    generator = torch.Generator().manual_seed(draw.randrange(2**32))
    x = torch.randn(1, 4, *cells, generator=generator) if values.is_unet else latent("FLUX", *cells)
    texts = (conditioning("tiger"), conditioning("")) if values.is_unet else (prompt(), prompt(6))
    options = {"start_step": 1, "last_step": 9, "force_full_denoise": True, "disable_pbar": True, "seed": 3}

    def run():
        sides = {"base_width": BASE.width, "base_height": BASE.height, "plan": None}
        patched = FreeScaleModelPatch.execute(
            **values.inputs(FreeScaleModelPatch, model=model, **sides)
        ).result[0]
        for node in nodes:
            patched = node.execute(**values.inputs(node, model=patched)).result[0]
        noise = torch.randn(x.shape, generator=generator)
        return comfy.sample.sample(patched, noise, 3, 2.0, "euler", "normal", *texts, x, **options)

    return tried(" and ".join(["chain", *sorted({node.__name__ for node in nodes})]), model, run)


def tried(name, model, run):
    """What a call gives, and whether that is a result or a sentence, and leaves the model as it was."""
    KEPT.clear()
    load_models_gpu([model])  # ComfyUI gives the layers attributes of its own when it first loads a model.
    before, start = ModelState(model), time.monotonic()
    broken, ending = [], "result"
    quiet = mock.patch.object(comfy.utils, "PROGRESS_BAR_ENABLED", False)
    limited = mock.patch.object(comfy.sample, "sample", _sample_if_small)
    try:
        with quiet, limited, mock.patch.object(ui, "PreviewImage", Preview):
            result = run()
        if isinstance(result, torch.Tensor) and not result.isfinite().all():
            broken.append("an image that is not finite")
    except ValueError as error:
        ending = "sentence"
        if not SENTENCE.fullmatch(str(error)):
            broken.append(f"an unclear sentence: {error}")
    broken += [f"changed {change}" for change in before.changes()]
    if (seconds := time.monotonic() - start) > MANY_SECONDS:
        broken.append(f"no end for {seconds:.0f} s")
    return CaseResult(name, ending, ", ".join(broken) or None)


_sample = comfy.sample.sample


def _sample_if_small(
    model, noise, steps, cfg, sampler, scheduler, positive, negative, latent_image, **options
):
    """ComfyUI's sampling of small images in few steps; of others the latent as it is."""
    first, cells = options.get("start_step") or 0, latent_image[0, 0].numel() * len(latent_image)
    if cells > MOST_CELLS or steps - first > MOST_STEPS:
        return latent_image.clone()
    return _sample(model, noise, steps, cfg, sampler, scheduler, positive, negative, latent_image, **options)
