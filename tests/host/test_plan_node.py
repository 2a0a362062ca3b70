"""FreeScalePlan: every way to say the target, and what the cascade makes of a plan."""

import inspect

import pytest
import torch
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.nodes.cascade_node import FreeScaleCascade
from freescale_pack.nodes.model_patch_node import FreeScaleModelPatch
from freescale_pack.nodes.patching.model import settings_of
from freescale_pack.nodes.plan_node import FreeScalePlan
from freescale_pack.nodes.upscale_node import FreeScaleUpscale

import nodes as host_nodes
from tools.harness.demo_checkpoint import conditioning, demo_checkpoint

DEFAULTS = {
    i.id: i.default for i in FreeScalePlan.define_schema().inputs if getattr(i, "default", None) is not None
}


def plan(**changes):
    return FreeScalePlan.execute(**{**DEFAULTS, **changes}).result


@pytest.mark.parametrize(
    ("changes", "base", "stages"),
    [
        ({}, (1024, 1024), [(2048, 2048)]),
        ({"factor": 8.0}, (1024, 1024), [(2048, 2048), (4096, 4096), (8192, 8192)]),
        ({"target": "megapixels", "megapixels": 9.0}, (1024, 1024), [(2048, 2048), (3072, 3072)]),
        (
            {"target": "megapixels", "base_width": 1344, "base_height": 768, "megapixels": 4.0},
            (768, 1344),
            [(1552, 2712)],
        ),
        (
            {"target": "width x height", "base_width": 0, "base_height": 0, "width": 3840, "height": 2160},
            (768, 1344),
            [(1520, 2712), (2160, 3840)],
        ),
        ({"target": "list of factors", "factors": "1.5, 3"}, (1024, 1024), [(1536, 1536), (3072, 3072)]),
        ({"base_width": 512, "base_height": 512, "factor": 4.0}, (512, 512), [(1024, 1024), (2048, 2048)]),
    ],
)
def test_targets(changes, base, stages):
    got, text = plan(**changes)
    assert got.base == base
    assert list(got.stages) == stages
    assert text.count("Stage ") == 1 + len(stages)


def test_every_widget_has_a_default_and_execute_takes_every_input():
    schema = FreeScalePlan.define_schema()
    assert [i.id for i in schema.inputs] == list(inspect.signature(FreeScalePlan.execute).parameters)


def test_the_plans_base_wins_in_the_model_patch():
    got, _ = plan(base_width=512, base_height=768, factor=2.0)
    patched = FreeScaleModelPatch.execute(
        demo_checkpoint()[0], "Auto", "Exact", 2.0, 1024, 1024, plan=got
    ).result[0]
    assert settings_of(patched).base == Size(768, 512)


def run(start, **changes):
    model, _, vae = demo_checkpoint()
    got, _ = plan(base_width=128, base_height=128, **changes)
    texts = conditioning("red apple"), conditioning("")
    return FreeScaleCascade.execute(
        model, *texts, vae, 1, 5, 3.0, "euler", "ddim_uniform", 7.0, plan=got, **start
    ).result


def test_the_cascade_follows_the_plan_and_not_its_own_factor():
    latent = {"samples": torch.zeros(1, 4, 16, 16)}
    _, image, stages = run(
        {"latent": latent},
        target="list of factors",
        factors="1.5, 2",
        later_steps=4,
        later_sampler="dpmpp_2m",
        later_scheduler="karras",
    )
    assert [tuple(s.shape[1:3]) for s in stages] == [(128, 128), (192, 192), (256, 256)]

    model, _, vae = demo_checkpoint()
    model = FreeScaleModelPatch.execute(model, "Auto", "Exact", 2.0, 128, 128).result[0]
    texts = conditioning("red apple"), conditioning("")
    expected = host_nodes.KSampler().sample(model, 1, 5, 3.0, "euler", "ddim_uniform", *texts, latent)[0]
    for seed, side in ((2, 192), (3, 256)):
        start = FreeScaleUpscale.execute(vae, 2.0, side, side, "bicubic", "off", samples=expected).result[0]
        arguments = ("enable", seed, 4, 3.0, "dpmpp_2m", "karras", *texts, start, 1, 10000, "disable")
        expected = host_nodes.KSamplerAdvanced().sample(model, *arguments)[0]
    assert torch.equal(image, vae.decode(expected["samples"]))


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (
            {"latent": {"samples": torch.zeros(1, 4, 16, 32)}},
            r"in the shape of stage 1 \(256x256\), got 256x128",
        ),
        (
            {"latent": {"samples": torch.zeros(1, 4, 32, 32)}},
            r"a latent smaller than stage 1 \(256x256\), got 256x256",
        ),
        ({"image": torch.zeros(1, 100, 300, 3)}, r"in the shape of stage 1 \(256x256\), got 300x100"),
    ],
)
def test_a_start_that_does_not_fit_the_plan_is_refused(start, message):
    with pytest.raises(ValueError, match=message):
        run(start)


@pytest.mark.parametrize(("given", "kept"), [(-1.0, None), (0.0, 0.0), (0.4, 0.4)])
def test_a_restart_of_0_is_one_and_not_the_presets(given, kept):
    assert plan(restart=given)[0].restart == kept


def test_a_restart_between_the_presets_and_0_is_refused():
    with pytest.raises(ValueError, match="expected restart from 0 to below 1, got -0.5: choose"):
        plan(restart=-0.5)
