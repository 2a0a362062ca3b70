"""Random runs of tiny models: everything that the pack does while a model samples, in a second or so each."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest import mock

import comfy.sample
import comfy.utils
import torch
from comfy_api.latest import ui
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.planning.plan import CascadePlan
from freescale_pack.freescale_core.settings import (
    DetailRegion,
    DetailSettings,
    DilationSettings,
    FreeScaleSettings,
    FusionSettings,
    PromptRegion,
    RopeSettings,
)
from freescale_pack.nodes.cascade import vae as vae_module
from freescale_pack.nodes.cascade.stages import StageOverride
from freescale_pack.nodes.cascade_node import FreeScaleCascade
from freescale_pack.nodes.patching.model import with_settings
from freescale_pack.nodes.video_nodes import FreeScaleVideoCrafterTextToVideo

from tools.harness.demo_checkpoint import conditioning, demo_checkpoint
from tools.harness.golden_video_cases import golden_video_model
from tools.harness.tiny_transformers import FAMILIES, TinyVae, latent, prompt, tiny_transformer

BASE = Size(64, 64)
"""Pixels. Half of what the demo model was trained for: nobody looks at these images."""
SAMPLERS = ("euler", "dpmpp_2m", "heun", "euler_ancestral", "lms")
CELL = {"Wan 2.2 5B": 16}
OVERRIDE_KEY = "optimized_attention_override"


@dataclass(frozen=True)
class Subject:
    """A run that can be repeated: `run` gives the same tensors each time."""

    name: str
    model: Any
    """The MODEL whose network is shared by all runs."""
    run: Callable[[], tuple[torch.Tensor, ...]]


def random_subject(draw: random.Random) -> Subject:
    return draw.choice(KINDS)(draw)


def image_run(draw: random.Random) -> Subject:
    """One sampler run of the demo model with any settings, among patches of other nodes now and then."""
    model = demo_checkpoint()[0]
    extra = draw.choice(sorted(OTHER_NODES))
    patched = with_settings(OTHER_NODES[extra](model), _settings(draw))
    cells = draw.randrange(9, 17), draw.randrange(9, 17)
    x = torch.randn(draw.choice((1, 1, 2)), 4, *cells, generator=_generator(draw))
    texts = conditioning("tiger"), conditioning("")
    run = _sampled(draw, patched, x, texts, "ddim_uniform")
    return Subject(f"image, {extra}", model, run)


def video_run(draw: random.Random) -> Subject:
    """One sampler run of VideoCrafter2 in small."""
    model = golden_video_model()
    generator = _generator(draw)
    texts = [[[torch.randn(1, 7, 40, generator=generator), {}]] for _ in range(2)]
    frames = draw.choice((2, 3))
    *texts, _ = FreeScaleVideoCrafterTextToVideo.execute(*texts, 64, 64, frames, 16).result
    settings = FreeScaleSettings(
        base=BASE, fusion=_fusion(draw), detail=DetailSettings(draw.choice((0.5, 2.0)))
    )
    x = torch.randn(frames, 4, draw.choice((12, 16)), draw.choice((12, 16)), generator=generator)
    run = _sampled(draw, with_settings(model, settings), x, texts, "ddim_uniform")
    return Subject("video UNet", model, run)


def transformer_run(draw: random.Random) -> Subject:
    """One sampler run of a transformer with turned positions."""
    family = draw.choice(sorted(FAMILIES))
    model, cell = transformer(family), CELL.get(family, 8)
    rope = RopeSettings(draw.choice(("ntk", "rectified")), temperature=draw.choice(("off", "sqrt log", 1.2)))
    settings = FreeScaleSettings(
        base=Size(8 * cell, 12 * cell),
        fusion=None,
        dilation=None,
        detail=draw.choice((None, DetailSettings(1.0))),
        rope=rope,
    )
    x = latent(family, draw.choice((12, 16)), draw.choice((16, 22)), seed=draw.randrange(100))
    run = _sampled(draw, with_settings(model, settings), x, (prompt(), prompt(6)), "simple")
    return Subject(f"transformer, {rope.mode}", model, run)


def image_cascade(draw: random.Random) -> Subject:
    """A cascade of the demo model with its VAE, whole or in tiles, with overrides now and then."""
    model, _, vae = demo_checkpoint()
    sizes = draw.choice(((Size(96, 96),), (Size(96, 96), Size(128, 128)), (Size(128, 128),)))
    plan = CascadePlan(
        BASE, sizes, tiling=draw.choice(("on", "off")), method=draw.choice(("bicubic", "lanczos"))
    )
    patched = with_settings(model, FreeScaleSettings(base=BASE, fusion=_fusion(draw)))
    override = StageOverride(draw.choice((1, 2)), positive=conditioning("red apple"), cfg=2.0)
    links = {
        "latent": {"samples": torch.zeros(1, 4, 8, 8)},
        "plan": plan,
        "overrides": draw.choice(((), (override,))),
    }
    if draw.random() < 0.3:
        del links["latent"]
        links["image"] = torch.rand(1, 64, 64, 3, generator=_generator(draw))
    texts = conditioning("tiger"), conditioning("")
    choice = draw.randrange(2**32), 2, draw.choice((1.0, 3.0)), draw.choice(SAMPLERS[:3]), "ddim_uniform", 2.0

    def run():
        with mock.patch.object(vae_module, "TILES", (64,)):
            return _cascade(patched, *texts, vae, *choice, **links)

    return Subject(f"cascade, VAE tiles {plan.tiling}", model, run)


def transformer_cascade(draw: random.Random) -> Subject:
    """A cascade of a transformer: of images by its VAE, of videos in the latent."""
    family = draw.choice(("FLUX", "Lumina 2", "Wan"))
    model, vae = transformer(family), TinyVae(frames=family == "Wan")
    settings = FreeScaleSettings(
        base=Size(64, 96), fusion=None, dilation=None, rope=draw.choice((None, RopeSettings("rectified")))
    )
    patched = with_settings(model, settings)
    start = {"samples": torch.zeros_like(latent(family, 8, 12))}
    texts, seed = (prompt(), prompt(6)), draw.randrange(2**32)

    def run():
        return _cascade(patched, *texts, vae, seed, 2, 1.0, "euler", "simple", 2.0, latent=start)

    return Subject(f"cascade, {'video' if family == 'Wan' else 'transformer'}", model, run)


KINDS = (image_run, video_run, transformer_run, image_cascade, transformer_cascade)
_TRANSFORMERS: dict[str, Any] = {}


def transformer(family):
    """One MODEL of each family for all cases, as a server has one."""
    if family not in _TRANSFORMERS:
        _TRANSFORMERS[family] = tiny_transformer(family)
    return _TRANSFORMERS[family]


def _generator(draw: random.Random):
    return torch.Generator().manual_seed(draw.randrange(2**32))


class Preview:
    """In place of ComfyUI's PreviewImage, which writes files with names from Python's global generator."""

    def __init__(self, image, cls):
        self.values = [image.shape]


def _cascade(*inputs, **links):
    """The final latent and the images of all stages, without a bar on the terminal."""
    quiet = mock.patch.object(comfy.utils, "PROGRESS_BAR_ENABLED", False)
    with quiet, mock.patch.object(ui, "PreviewImage", Preview):
        found, _, images = FreeScaleCascade.execute(*inputs, **links).result
    # Without a finished image, the node gives one thing that is no image: it keeps later nodes from running.
    return (found["samples"], *(image for image in images if isinstance(image, torch.Tensor)))


def _sampled(draw: random.Random, model, x, texts, scheduler):
    """Samples a noised latent for a step or two; the noise is drawn here, where no run is disturbed yet."""
    noise = torch.randn(x.shape, generator=_generator(draw))
    steps, seed, cfg = draw.choice((2, 3)), draw.randrange(2**32), draw.choice((1.0, 3.0))
    sampler = draw.choice(SAMPLERS)
    options = {
        "start_step": 1,
        "last_step": 1000,
        "force_full_denoise": True,
        "disable_pbar": True,
        "seed": seed,
    }

    def run():
        return (comfy.sample.sample(model, noise, steps, cfg, sampler, scheduler, *texts, x, **options),)

    return run


def _fusion(draw: random.Random):
    return FusionSettings(
        mode=draw.choice(("exact", "fast")),
        local=draw.choice(("windows", "neighbourhoods")),
        over_channels=draw.random() < 0.5,
        jitter=draw.random() < 0.8,
        end_percent=draw.choice((0.5, 1.0)),
    )


def _settings(draw: random.Random):
    """Any parts of FreeScale, regions among them."""
    generator = _generator(draw)

    def mask():
        return (torch.rand(1, draw.choice((8, 16)), draw.choice((8, 16)), generator=generator) > 0.5).float()

    details = tuple(
        DetailRegion(mask(), 3.0, draw.choice((0.0, 0.2)), draw.random() < 0.5)
        for _ in range(draw.choice((0, 2)))
    )
    texts = tuple(
        PromptRegion(conditioning("red apple")[0][0], mask(), 0.8) for _ in range(draw.choice((0, 0, 1, 2)))
    )
    return FreeScaleSettings(
        base=BASE,
        fusion=draw.choice((None, _fusion(draw), _fusion(draw))),
        dilation=draw.choice((None, DilationSettings(), DilationSettings(3, 1.0))),
        detail=draw.choice((None, DetailSettings(1.0, details), DetailSettings(2.0, details))),
        prompt_regions=texts,
    )


def _alone(model):
    return model


def _with_override(model):
    """Another node's stand-in for ComfyUI's attention."""
    clone = model.clone()
    clone.model_options["transformer_options"][OVERRIDE_KEY] = _override
    return clone


def _override(function, *args, **kwargs):
    return function(*args, **kwargs) * 1.0


def _with_patches(model):
    """Patches of another node in self-attention and in cross-attention."""
    clone = model.clone()
    clone.set_model_attn1_patch(lambda q, k, v, extra_options: (q * 1.01, k, v))
    clone.set_model_attn2_patch(lambda q, k, v, extra_options: (q, k, v * 1.01))
    return clone


def _with_wrapper(model):
    """Another node's wrapper of the UNet."""
    clone = model.clone()
    clone.set_model_unet_function_wrapper(
        lambda apply, args: apply(args["input"], args["timestep"], **args["c"])
    )
    return clone


OTHER_NODES = {
    "alone": _alone,
    "attention override": _with_override,
    "attention patches": _with_patches,
    "UNet wrapper": _with_wrapper,
}
"""Name -> what another node did to the MODEL before FreeScale."""
