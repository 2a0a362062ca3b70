"""FreeScaleStageOverride: what changes in which stage, against the explicit graph of stock nodes."""

import comfy.latent_formats
import pytest
import torch
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.planning.plan import CascadePlan
from freescale_pack.freescale_core.settings import FreeScaleSettings
from freescale_pack.nodes.cascade.stages import SamplerChoice, Stage, stages_of
from freescale_pack.nodes.cascade_node import FreeScaleCascade
from freescale_pack.nodes.part_nodes import FreeScaleDetailControl
from freescale_pack.nodes.patching.model import settings_of
from freescale_pack.nodes.stage_override_node import FreeScaleStageOverride
from freescale_pack.nodes.upscale_node import FreeScaleUpscale

import nodes as host_nodes
from tools.harness.demo_checkpoint import conditioning, demo_checkpoint

from .cascades import patched

SEED, STEPS, FIRST = 7, 4, 1


def scaled_down(model):
    """Stands for a LoRA: another clone with other weights."""
    key = "diffusion_model.out.2.weight"
    other = model.clone()
    other.add_patches({key: (-0.3 * model.model_state_dict()[key],)})
    return other


def override(from_stage=1, cfg=0.0, **links):
    return FreeScaleStageOverride.execute(from_stage, cfg, **links).result[0]


def stages(model, overrides, count=2, **plan):
    choice = SamplerChoice(2**64 - 1, 20, 7.0, "euler", "normal")
    base = Stage(model, settings_of(model) or FreeScaleSettings(), "positive", "negative", choice)
    sizes = tuple(Size(128 * 2**r, 128 * 2**r) for r in range(1, count + 1))
    return stages_of(base, CascadePlan(Size(128, 128), sizes, **plan), overrides)


def test_overrides_equal_the_explicit_graph_bit_for_bit(model):
    """Stage 1: another model. Stage 2: another prompt and cfg as well."""
    vae, texts, other_text = (
        demo_checkpoint()[2],
        (conditioning("red car"), conditioning("")),
        conditioning("green frog"),
    )
    first, second = (
        patched(model, base_width=64, base_height=64),
        patched(scaled_down(model), base_width=64, base_height=64),
    )
    overrides = override(2, 2.0, positive=other_text, overrides=override(model=scaled_down(model)))
    start = {"samples": torch.zeros(1, 4, 8, 8)}
    latent, _, pictures = FreeScaleCascade.execute(
        first, *texts, vae, SEED, STEPS, 3.0, "euler", "normal", 4.0, latent=start, overrides=overrides
    ).result

    expected = host_nodes.KSampler().sample(first, SEED, STEPS, 3.0, "euler", "normal", *texts, start)[0]
    for r, cfg, positive in ((1, 3.0, texts[0]), (2, 2.0, other_text)):
        upscaled = FreeScaleUpscale.execute(vae, 2.0, 0, 0, "bicubic", "off", samples=expected).result[0]
        arguments = (
            "enable",
            SEED + r,
            STEPS,
            cfg,
            "euler",
            "normal",
            positive,
            texts[1],
            upscaled,
            FIRST,
            10000,
            "disable",
        )
        expected = host_nodes.KSamplerAdvanced().sample(second, *arguments)[0]
    assert torch.equal(latent["samples"], expected["samples"])
    plain = FreeScaleCascade.execute(
        first, *texts, vae, SEED, STEPS, 3.0, "euler", "normal", 4.0, latent=start
    ).result[2]
    assert [torch.equal(a, b) for a, b in zip(pictures, plain, strict=True)] == [True, False, False]


def test_a_later_start_wins_and_the_rest_stays_as_before(model):
    first = patched(model)
    chain = override(1, 3.0, positive="one", overrides=override(2, 1.0, negative="two"))
    base, one, two = stages(first, chain)
    assert [(s.positive, s.negative, s.choice.cfg) for s in (base, one, two)] == [
        ("positive", "negative", 7.0),
        ("one", "negative", 3.0),
        ("one", "two", 1.0),
    ]
    assert [s.choice.seed for s in (base, one, two)] == [2**64 - 1, 0, 1]
    assert [s.start_step for s in (base, one, two)] == [None, 6, 6]
    assert {s.model for s in (base, one, two)} == {first}


def test_a_model_without_a_patch_gets_the_cascades_settings_and_a_patched_one_keeps_its_own(model):
    first = patched(model, alpha=1.7)
    smaller_alpha = FreeScaleDetailControl.execute(first, True, 0.5).result[0]
    few_step = patched(model, preset="SDXL few-step (Lightning, DMD2)")
    chain = override(
        1,
        model=scaled_down(model),
        overrides=override(2, model=smaller_alpha, overrides=override(3, model=few_step)),
    )
    settings = [stage.settings for stage in stages(first, chain, count=3)]
    assert settings[1] == settings[0]
    assert [s.detail.alpha for s in settings] == [1.7, 1.7, 0.5, 0.5]
    assert [stage.start_step for stage in stages(first, chain, count=3)] == [None, 6, 6, 10]
    assert [stage.start_step for stage in stages(first, chain, count=3, restart=0.2)] == [None, 4, 4, 4]


def test_speed_fast_shortens_the_schedule_of_later_stages_only(model):
    fast = patched(model, speed="Fast")
    assert [(stage.choice.steps, stage.start_step) for stage in stages(fast, ())] == [
        (20, None),
        (15, 5),
        (15, 5),
    ]
    assert [stage.choice.steps for stage in stages(fast, (), steps=30)] == [20, 30, 30]
    few = Stage(fast, settings_of(fast), "positive", "negative", SamplerChoice(1, 6, 7.0, "euler", "normal"))
    plan = CascadePlan(Size(128, 128), (Size(256, 256),))
    assert [stage.choice.steps for stage in stages_of(few, plan, ())] == [6, 6]
    assert [stage.choice.steps for stage in stages(patched(model), ())] == [20, 20, 20]


def test_a_plans_steps_sampler_and_scheduler_count_in_later_stages_only(model):
    got = stages(model, (), steps=4, sampler_name="dpmpp_2m", scheduler="karras")
    assert [(s.choice.steps, s.choice.sampler_name, s.choice.scheduler) for s in got] == [
        (20, "euler", "normal"),
        (4, "dpmpp_2m", "karras"),
        (4, "dpmpp_2m", "karras"),
    ]


def test_an_override_beyond_the_last_stage_is_warned_about(model, caplog):
    stages(patched(model), override(3, 1.0))
    assert caplog.text.count("the override from stage 3 on has no effect: the last is stage 2") == 1


def test_a_model_of_another_latent_space_is_refused(model, monkeypatch):
    other = scaled_down(patched(model))
    monkeypatch.setattr(other, "model", type("SD15", (), {"latent_format": comfy.latent_formats.SD15()}))
    with pytest.raises(
        ValueError, match="a model with the latent space SDXL, got SD15: start a second FreeScale Cascade"
    ):
        stages(patched(model), override(model=other))
