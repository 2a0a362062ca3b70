"""A cascade by two experts, on tiny random Wans: hand-over at the boundary, one noise for both."""

import dataclasses

import comfy.sample
import pytest
import torch
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.planning.plan import CascadePlan
from freescale_pack.freescale_core.presets import PRESETS
from freescale_pack.nodes.cascade.experts import expect_steps, parts_of
from freescale_pack.nodes.cascade.run import sample
from freescale_pack.nodes.cascade.stages import LowNoiseExpert, SamplerChoice, Stage
from freescale_pack.nodes.cascade_node import BOUNDARY, FreeScaleCascade
from freescale_pack.nodes.model_patch_node import FreeScaleModelPatch
from freescale_pack.nodes.stage_override_node import FreeScaleStageOverride

from tools.harness.demo_checkpoint import demo_checkpoint
from tools.harness.golden_cases import relative_error
from tools.harness.tiny_transformers import TinyVae, latent, prompt, tiny_transformer

TEXTS, VAE = (prompt(), prompt(6)), TinyVae(frames=True)
STEPS, SEED, SIZE = 6, 11, Size(128, 192)
EFFECT = 1e-3
DEEP, USUAL = 0.02, 0.3
"""Share of the schedule that a later stage leaves out: it begins above the hand-over, or below it."""


def wan(seed=0, alpha=0.5):
    model = tiny_transformer("Wan", seed)
    return FreeScaleModelPatch.execute(model, "Auto", "Exact", alpha, 96, 64).result[0]


def noting(model):
    """The MODEL, and a list of the noise levels at which it is called."""
    levels, noted = [], model.clone()

    def call(apply, args):
        levels.append(float(args["timestep"].flatten()[0]))
        return apply(args["input"], args["timestep"], **args["c"])

    noted.set_model_unet_function_wrapper(call)
    return noted, levels


def cascade(model, restart=DEEP, start=None, sampler="euler", later_sampler=None, **inputs):
    plan = CascadePlan(
        Size(64, 96), [SIZE], method="latent bilinear", restart=restart, sampler_name=later_sampler
    )
    begin = {"samples": torch.zeros_like(latent("Wan", 8, 12))} if start is None else start
    found = FreeScaleCascade.execute(
        model, *TEXTS, VAE, SEED, STEPS, 1.0, sampler, "simple", 2.0, latent=begin, plan=plan, **inputs
    )
    return found.result[0]["samples"]


@pytest.mark.parametrize("sampler", ["euler", "dpm_2", "heun"])
def test_two_equal_experts_are_one_model_bit_for_bit(sampler):
    """With alpha in both halves. Samplers without a memory of earlier steps."""
    model = wan()
    assert torch.equal(
        cascade(model, sampler=sampler, low_noise_model=model.clone()), cascade(model, sampler=sampler)
    )


def test_a_noise_mask_holds_in_both_halves():
    model = wan()
    mask = torch.zeros(1, 1, 8, 12)
    mask[..., :6] = 1
    start = {"samples": latent("Wan", 8, 12), "noise_mask": mask}
    masked = cascade(model, start=start, low_noise_model=model.clone())
    assert torch.equal(masked, cascade(model, start=start))
    assert relative_error(masked, cascade(model, start={"samples": start["samples"]})) > EFFECT


@pytest.mark.parametrize("boundary", [0.7, BOUNDARY])
def test_each_step_is_done_by_the_expert_of_its_noise_level(boundary):
    (high, above), (low, below) = noting(wan()), noting(wan(1))
    cascade(high, low_noise_model=low, boundary=boundary)
    assert min(above) >= boundary > max(below)
    alone, levels = noting(wan())
    cascade(alone)
    assert sorted(above + below) == sorted(levels)


@pytest.mark.parametrize(("restart", "begins_high"), [(DEEP, True), (USUAL, False)])
def test_a_stage_begins_with_the_expert_of_its_restart(restart, begins_high):
    """What comes in is stage 0, so that all calls are those of the later stage."""
    start = {"samples": latent("Wan", 8, 12)}
    (high, above), (low, below) = noting(wan()), noting(wan(1))
    by_both = cascade(high, restart, start, low_noise_model=low)
    assert (len(above) > 0, len(below) > 0) == (begins_high, True)
    (overrides,) = FreeScaleStageOverride.execute(1, 0.0, model=wan(1)).result
    by_low_alone = cascade(wan(), restart, start, overrides=overrides)
    assert torch.equal(by_both, by_low_alone) is not begins_high


def test_a_step_at_the_boundary_is_the_high_noise_experts():
    choice = SamplerChoice(SEED, STEPS, 1.0, "euler", "simple")
    stage, low = Stage(wan(), PRESETS["Wan 720p (1280x720)"], *TEXTS, choice), wan(1)
    sigmas = stage.sigmas()
    (_, above), (_, below) = parts_of(stage, LowNoiseExpert(low, float(sigmas[2])))
    assert torch.equal(above, sigmas[:4]) and torch.equal(below, sigmas[3:])


def test_a_boundary_above_or_below_all_steps_leaves_one_expert():
    high, low = wan(), wan(1)
    assert torch.equal(cascade(high, low_noise_model=low, boundary=0.0), cascade(high))
    (overrides,) = FreeScaleStageOverride.execute(1, 0.0, model=low).result
    start = {"samples": latent("Wan", 8, 12)}
    both = cascade(high, start=start, low_noise_model=low, boundary=1.0)
    first = Stage(
        high, PRESETS["Wan 720p (1280x720)"], [], [], SamplerChoice(SEED, STEPS, 1.0, "euler", "simple")
    )
    assert float(first.restarted(DEEP).sigmas()[1]) < 1.0
    assert torch.equal(both, cascade(high, start=start, overrides=overrides))


def test_both_experts_have_the_settings_of_the_first():
    """The second carries no patch, or another one."""
    high, plain = wan(), tiny_transformer("Wan", 1)
    other = FreeScaleModelPatch.execute(plain, "Auto", "Exact", 8.0, 64, 64).result[0]
    assert torch.equal(cascade(high, low_noise_model=plain), cascade(high, low_noise_model=other))


def test_an_override_with_a_model_replaces_both():
    start, third = {"samples": latent("Wan", 8, 12)}, wan(2)
    (overrides,) = FreeScaleStageOverride.execute(1, 0.0, model=third).result
    found = cascade(wan(), start=start, overrides=overrides, low_noise_model=wan(1))
    assert torch.equal(found, cascade(wan(), start=start, overrides=overrides))
    (prompts,) = FreeScaleStageOverride.execute(1, 0.0, positive=prompt(9)).result
    low, below = noting(wan(1))
    cascade(wan(), start=start, overrides=prompts, low_noise_model=low)
    assert below


def test_both_get_the_same_noise_and_no_noise_is_drawn_twice(monkeypatch):
    given = []
    run = comfy.sample.sample_custom

    def noted(model, noise, *args, seed, **kwargs):
        given.append((noise.clone(), seed))
        return run(model, noise, *args, seed=seed, **kwargs)

    monkeypatch.setattr(comfy.sample, "sample_custom", noted)
    cascade(wan(), start={"samples": latent("Wan", 8, 12)}, low_noise_model=wan(1), sampler="euler_ancestral")
    (first, seed), (second, other) = given
    assert torch.equal(first, second) and seed != other


def test_the_steps_count_on_over_the_hand_over():
    steps = []
    choice = SamplerChoice(SEED, STEPS, 1.0, "euler", "simple")
    stage = Stage(wan(), PRESETS["Wan 720p (1280x720)"], *TEXTS, choice)
    stage = dataclasses.replace(stage, low_noise=LowNoiseExpert(wan(1), BOUNDARY))
    begin = {"samples": torch.zeros_like(latent("Wan", 8, 12))}
    sample(stage, begin, lambda step, x0, x, total: steps.append((step, total)))
    assert steps == [(step, STEPS) for step in range(STEPS)]


def test_a_finished_stage_is_kept_for_its_experts_and_boundary():
    start = {"samples": latent("Wan", 8, 12)}
    (high, above), (low, below) = noting(wan()), noting(wan(1))
    first = cascade(high, start=start, low_noise_model=low)
    done = len(above), len(below)
    assert torch.equal(cascade(high, start=start, low_noise_model=low), first)
    assert (len(above), len(below)) == done
    cascade(high, start=start, low_noise_model=low, boundary=0.5)
    cascade(high, start=start)
    assert len(above) > 2 * done[0]


def test_the_second_half_says_nothing_of_a_restart(caplog):
    with caplog.at_level("INFO", "FreeScale"):
        cascade(wan(), start={"samples": latent("Wan", 8, 12)}, low_noise_model=wan(1))
    assert caplog.text.count("restart at t") == 2  # The level, and that it is outside the usual range.


def test_an_expert_with_one_step_of_a_sampler_that_needs_two_is_refused():
    """Such a run would end as the noise that it began with."""
    stage, said = handing_over("uni_pc", steps_left=1), "two steps or more for each expert with uni_pc"
    experts = {"low_noise_model": wan(1), "boundary": stage.low_noise.boundary}
    with pytest.raises(ValueError, match=said):
        expect_steps(stage)
    with pytest.raises(ValueError, match=said):
        cascade(stage.model, sampler="uni_pc", later_sampler="euler", **experts)
    expect_steps(handing_over("uni_pc", steps_left=2))
    expect_steps(handing_over("euler", steps_left=1))


def handing_over(sampler, steps_left):
    """A stage whose second expert does the last few steps."""
    choice = SamplerChoice(SEED, STEPS, 1.0, sampler, "simple")
    stage = Stage(wan(), PRESETS["Wan 720p (1280x720)"], *TEXTS, choice)
    last_of_first = float(stage.sigmas()[-2 - steps_left])
    stage = dataclasses.replace(stage, low_noise=LowNoiseExpert(wan(1), last_of_first))
    steps = [len(sigmas) - 1 for _, sigmas in parts_of(stage, stage.low_noise)]
    assert steps == [STEPS - steps_left, steps_left]
    return stage


@pytest.mark.parametrize(
    ("low", "said"),
    [
        (lambda: demo_checkpoint()[0], "expects flow models where low_noise_model is connected, .* got SDXL"),
        (lambda: tiny_transformer("Wan 2.2 5B"), "expects a model with the latent space Wan21, got Wan22"),
    ],
)
def test_another_kind_of_second_model_is_refused(low, said):
    with pytest.raises(ValueError, match=said):
        cascade(wan(), low_noise_model=low())


def test_a_boundary_outside_0_to_1_is_refused():
    with pytest.raises(ValueError, match="FreeScale Cascade expects .*boundary"):
        cascade(wan(), low_noise_model=wan(1), boundary=875.0)
