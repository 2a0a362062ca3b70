"""Dilation, fusion and restart end and begin by the timestep of eq. 4, whatever noise levels the model's own
kind has."""

import comfy.samplers
import numpy as np
import pytest
import torch
from comfy_extras import nodes_model_advanced
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.schedule import ddim_uniform_timesteps
from freescale_pack.freescale_core.settings import DilationSettings, FreeScaleSettings, FusionSettings
from freescale_pack.nodes.backbones.unet import dilation_convs
from freescale_pack.nodes.cascade.stages import SamplerChoice, Stage
from freescale_pack.nodes.host.noise_level import timestep
from freescale_pack.nodes.patching.model import with_settings
from freescale_pack.nodes.patching.sampler_run import SamplerRun

from tools.harness.demo_checkpoint import conditioning

from .composition_features import latents, made, sdxl

PLAYGROUND_SIGMA_DATA = 0.5


def discrete(sampling, zsnr):
    return lambda model: made(nodes_model_advanced.ModelSamplingDiscrete().patch(model, sampling, zsnr))


def playground(model):
    return made(
        nodes_model_advanced.ModelSamplingContinuousEDM().patch(model, "edm_playground_v2.5", 120.0, 0.002)
    )


def flow(model):
    return made(nodes_model_advanced.ModelSamplingSD3().patch(model, 1.0))


# Kind: core's own node for it, and its noise level where SDXL's is sigma.
KINDS = {
    "EPS": (lambda model: model, lambda sigma: sigma),
    "v-prediction": (discrete("v_prediction", False), lambda sigma: sigma),
    "v-prediction, zero terminal SNR": (discrete("v_prediction", True), lambda sigma: sigma),
    "EDM (Playground v2.5)": (playground, lambda sigma: sigma * PLAYGROUND_SIGMA_DATA),
    "flow": (flow, lambda sigma: sigma / (1 + sigma)),
}
STEPS_OF_50 = list(ddim_uniform_timesteps(50))
AROUND_THE_ENDS = [981, 521, 501, 481, 321, 301, 281, 1]


def acting(model, own_level, timesteps):
    """Timesteps of the model calls that were dilated, and of those that were fused, in a run through
    `timesteps`."""
    sdxl_sigmas = sdxl().get_model_object("model_sampling").sigmas
    sigmas = torch.cat([own_level(sdxl_sigmas[timesteps].double()), torch.zeros(1)]).float()
    t_of = {float(sigma): t for sigma, t in zip(sigmas, timesteps, strict=False)}
    dilated, fused, level = [], set(), []

    def draw(sigma, block, windows):
        fused.add(t_of[sigma])
        return windows.draw(np.random.default_rng(0))

    fusion = FusionSettings(end_percent=0.5, draw_windows=draw)
    settings = FreeScaleSettings(base=Size(64, 64), fusion=fusion, dilation=DilationSettings(), detail=None)

    def note_level(apply_model, args):
        level.append(t_of[float(args["timestep"][0])])
        return apply_model(args["input"], args["timestep"], **args["c"])

    def note_dilation(module, args):
        if {conv.dilation for conv in dilation_convs(module)} == {(2, 2)}:
            dilated.append(level[-1])

    patched = with_settings(model, settings)
    patched.set_model_unet_function_wrapper(note_level)
    hook = sdxl().model.diffusion_model.register_forward_pre_hook(note_dilation)
    guider = comfy.samplers.CFGGuider(patched)
    guider.set_conds(conditioning("tiger"), conditioning(""))
    guider.set_cfg(1.0)
    try:
        euler = comfy.samplers.sampler_object("euler")
        guider.sample(torch.randn_like(latents()), latents(), euler, sigmas, disable_pbar=True, seed=1)
    finally:
        hook.remove()
    assert level == timesteps
    return dilated, sorted(fused, reverse=True)


def test_with_50_steps_35_are_dilated_as_in_the_release():
    dilated, fused = acting(sdxl(), KINDS["EPS"][1], STEPS_OF_50)
    assert dilated == STEPS_OF_50[:35]
    assert (dilated[-1], fused[-1]) == (301, 501)


@pytest.mark.parametrize("kind", KINDS)
def test_parts_end_at_the_same_timestep_for_every_kind_of_model(kind):
    node, own_level = KINDS[kind]
    dilated, fused = acting(node(sdxl()), own_level, AROUND_THE_ENDS)
    assert dilated == [981, 521, 501, 481, 321, 301]
    assert fused == [981, 521, 501]


@pytest.mark.parametrize(("end_percent", "acts"), [(0.0, []), (1.0, [999, 500, 0])])
def test_an_end_of_0_is_never_and_of_1_always(end_percent, acts):
    model_sampling = sdxl().get_model_object("model_sampling")
    run = SamplerRun(Size(128, 128), Size(256, 256), 0, model_sampling)
    levels = [(999, 1e9), (500, float(model_sampling.sigmas[500])), (0, 1e-4)]
    assert [t for t, sigma in levels if run.is_on(DilationSettings(end_percent=end_percent), sigma)] == acts


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scheduler", ["karras", "simple"])
def test_later_stages_restart_at_the_same_timestep_for_every_kind_of_model(kind, scheduler):
    """By step number, Playground's 15th of 50 steps lies anywhere from t 400 to 900."""
    model = KINDS[kind][0](sdxl())
    stage = Stage(
        model, FreeScaleSettings(), None, None, SamplerChoice(0, 50, 1.0, "euler", scheduler)
    ).restarted(0.3)
    first, before = (
        timestep(model.get_model_object("model_sampling"), float(stage.sigmas()[step]))
        for step in (stage.start_step, stage.start_step - 1)
    )
    assert first <= 700.01 < before


@pytest.mark.parametrize("kind", KINDS)
def test_a_schedule_whose_only_step_is_above_the_restart_keeps_it(kind):
    model = KINDS[kind][0](sdxl())
    stage = Stage(
        model, FreeScaleSettings(), None, None, SamplerChoice(0, 1, 1.0, "euler", "simple")
    ).restarted(0.3)
    assert timestep(model.get_model_object("model_sampling"), float(stage.sigmas()[0])) > 700
    assert (stage.start_step, stage.step_count()) == (0, 1)
