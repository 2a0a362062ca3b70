"""What a family of `dev.py bench quality` asks of the sampler and the model, without sampling: for tests."""

from types import SimpleNamespace

import torch
from comfy.patcher_extension import WrappersMP

from tools.bench.picture_quality.families import FAMILIES
from tools.bench.picture_quality.families.dilated_layers import KEY
from tools.bench.picture_quality.painter import Painter, Sampling, Shot
from tools.harness.demo_checkpoint import demo_checkpoint

BASE, CELLS = (64, 64), 8
STEPS = 20


class Noting(Painter):
    """Samples nothing: notes the model and what it was asked for."""

    def sampled(self, model, text, seed, start, restart=0.0, steps=None, told=None):
        self._encoded.update(model=model, seed=seed, start=start["samples"], restart=restart)
        self._encoded.update(steps=steps, told=told)
        return start

    def decoded(self, latent):
        return latent["samples"]

    def enlarged(self, latent, size):
        cells = [side // (BASE[0] // CELLS) for side in size]
        return {"samples": torch.nn.functional.interpolate(latent["samples"], cells)}


def asked(name, knob, scale=2):
    """What a family asks the sampler for, in its last stage."""
    stages = ((128, 128), (256, 256))[: scale // 2]
    latent = {"samples": torch.randn(1, 4, CELLS, CELLS, generator=torch.Generator().manual_seed(0))}
    painter = Noting(*demo_checkpoint(), Sampling(3.0, STEPS))
    FAMILIES[name].paint(painter, Shot("owl", 1, BASE, stages, latent), knob)
    return SimpleNamespace(**painter._encoded)


def unet():
    return demo_checkpoint()[0].get_model_object("diffusion_model")


def dilations(model, scale, t):
    """Dilation -> convolutions, while `model` is called at timestep t with a latent of `scale` times the
    base."""
    seen = {}

    def call(x, t, *args, **kwargs):
        for conv in (m for m in unet().modules() if isinstance(m, torch.nn.Conv2d)):
            seen.setdefault(conv.dilation[0], set()).add(conv)

    class Executor:
        class_obj = SimpleNamespace(diffusion_model=unet())
        __call__ = staticmethod(call)

    sigma = model.get_model_object("model_sampling").sigma(torch.tensor([float(t)]))
    (wrapper,) = model.wrappers[WrappersMP.APPLY_MODEL][KEY]
    wrapper(Executor(), torch.zeros(1, 4, CELLS * scale, CELLS * scale), sigma)
    assert {m.dilation for m in unet().modules() if isinstance(m, torch.nn.Conv2d)} == {(1, 1)}
    return seen
