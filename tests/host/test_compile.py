"""TorchCompileModel: what is compiled at the base size stays compiled, and a patched run equals the
uncompiled one."""

import pytest
import torch
from comfy_extras.nodes_torch_compile import TorchCompileModel
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.settings import (
    DetailSettings,
    DilationSettings,
    FreeScaleSettings,
    FusionSettings,
    PromptRegion,
)
from freescale_pack.nodes.patching.model import with_settings

from tools.harness.demo_checkpoint import conditioning

from .composition_features import latents, made, sd15, text_setup

BASE = Size(64, 64)


def settings(**parts):
    off = {"fusion": None, "dilation": None, "detail": None}
    return FreeScaleSettings(base=BASE, **{**off, **parts})


ALL = settings(fusion=FusionSettings(), dilation=DilationSettings(), detail=DetailSettings(1.0))
IN_2D = settings(
    fusion=FusionSettings(over_channels=False), dilation=DilationSettings(), detail=DetailSettings(1.0)
)
PLAIN = settings()


class CountedGraphs:
    """A backend for torch.compile that needs no compiler, and counts how often its graphs run."""

    def __init__(self):
        self.runs = 0

    def __call__(self, graph, inputs, **options):
        def run(*args):
            self.runs += 1
            return graph.forward(*args)

        return run


@pytest.fixture(autouse=True)
def no_graphs_of_other_tests():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def with_region():
    """Another text for the left half: changes the cross-attention and nothing else."""
    mask = torch.zeros(1, 8, 8)
    mask[..., :4] = 1
    text = conditioning("green frog")[0][0]
    return settings(prompt_regions=(PromptRegion(text, mask),))


def sampled(model, values, height, width):
    latent = latents(side=max(height, width))[..., :height, :width].contiguous()
    setup = text_setup(with_settings(model, values))
    return setup.on(setup.model, latent=latent).sample()


# In this order, on one compiled model: shapes make torch.compile look for graphs that it already has.
RUNS = [
    ("base picture", ALL, 8, 8, True),
    ("base picture of another shape", ALL, 10, 6, True),
    ("plain at the target size", PLAIN, 16, 16, True),
    ("twice the size", ALL, 16, 16, False),
    ("twice the other shape", ALL, 20, 12, False),
    ("2-D blur instead of 3-D", IN_2D, 16, 16, False),
    ("fusion alone", settings(fusion=FusionSettings()), 16, 16, False),
    ("dilation alone", settings(dilation=DilationSettings()), 16, 16, False),
    ("prompt region alone", with_region, 16, 16, False),
    ("blend alone, which leaves the UNet as it is", settings(detail=DetailSettings(1.0)), 16, 16, True),
    ("base picture again", ALL, 8, 8, True),
]


def test_compiled_runs_equal_uncompiled_ones_whatever_ran_before(caplog):
    caplog.set_level("INFO", logger="FreeScale")
    graphs = CountedGraphs()
    model = made(TorchCompileModel.execute(sd15(), graphs))
    for name, values, height, width, runs_compiled in RUNS:
        values = values() if callable(values) else values
        expected = sampled(sd15(), values, height, width)
        caplog.clear()
        graphs.runs = 0
        got = sampled(model, values, height, width)
        assert (got - expected).norm() / expected.norm() < 1e-5, name
        assert (graphs.runs > 0) == runs_compiled, name
        assert caplog.text.count("runs above the base size go uncompiled") == (not runs_compiled), name


def test_a_network_that_another_pack_has_compiled_is_still_a_unet_and_draws_the_same():
    """Such packs put torch.compile's module in the network's place, before FreeScale or after it."""
    for is_before in (True, False):
        for values, side in ((ALL, 8), (ALL, 16)):
            expected = sampled(sd15(), values, side, side)
            model = sd15().clone()
            compiled = torch.compile(model.get_model_object("diffusion_model"), backend=CountedGraphs())
            patched = model if is_before else with_settings(model, values)
            patched.add_object_patch("diffusion_model", compiled)
            setup = text_setup(with_settings(patched, values) if is_before else patched)
            got = setup.on(setup.model, latent=latents(side=side)).sample()
            assert (got - expected).norm() / expected.norm() < 1e-5, (is_before, side)
