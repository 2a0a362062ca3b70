"""Runs in which detail control cannot act: it is off, and the log says so."""

from functools import partial

import comfy.samplers
import pytest
import torch
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.settings import DetailSettings, FreeScaleSettings
from freescale_pack.nodes.patching.model import with_settings

from .composition_features import sdxl, text_setup

BASE = Size(64, 64)


def blended(alpha=1.0):
    return FreeScaleSettings(base=BASE, fusion=None, dilation=None, detail=DetailSettings(alpha))


@pytest.mark.parametrize("calls", [1, 2])
def test_an_unknown_sampler_runs_without_the_blend_and_the_log_says_so(caplog, calls):
    """RES4LYF's rk_* make several calls a step and hand over copies: blending those would be wrong and
    silent."""

    def sample_rk_of_tomorrow(model, x, sigmas, extra_args=None, callback=None, disable=None):
        for i, sigma in enumerate(sigmas[:-1]):
            for _ in range(calls):
                denoised = model(x.clone(), sigma * x.new_ones([len(x)]), **extra_args)
            x = denoised + (x - denoised) / sigma * sigmas[i + 1]
            if callback is not None:
                callback({"x": x, "i": i, "sigma": sigma, "sigma_hat": sigma, "denoised": denoised})
        return x

    def sampled(model):
        setup = text_setup(model)
        guider = comfy.samplers.CFGGuider(model)
        guider.set_conds(setup.positive, setup.negative)
        sigmas = torch.cat(
            [model.get_model_object("model_sampling").sigma(torch.tensor([700.0, 350.0])), torch.zeros(1)]
        )
        sampler = comfy.samplers.KSAMPLER(sample_rk_of_tomorrow)
        return guider.sample(
            torch.ones_like(setup.latent), setup.latent, sampler, sigmas, disable_pbar=True, seed=1
        )

    none = sampled(
        with_settings(sdxl(), FreeScaleSettings(base=BASE, fusion=None, dilation=None, detail=None))
    )
    caplog.clear()
    assert torch.equal(sampled(with_settings(sdxl(), blended())), none)
    [warning] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "detail control is off in this run, since it does not know the sampler rk_of_tomorrow" in warning


@pytest.mark.parametrize(("noise", "latent", "level"), [(0.0, 1.0, "WARNING"), (1.0, 0.0, "INFO")])
def test_a_stage_split_in_two_warns_that_its_second_half_lets_go(caplog, noise, latent, level):
    """An empty latent is the base picture's and no reason to warn."""
    caplog.set_level("INFO", logger="FreeScale")
    model = with_settings(sdxl(), blended())
    setup = text_setup(model)
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(setup.positive, setup.negative)
    scaled = partial(torch.full_like, setup.latent)
    guider.sample(
        scaled(noise),
        scaled(latent),
        comfy.samplers.sampler_object("euler"),
        torch.tensor([1.0, 0.0]),
        disable_pbar=True,
        seed=1,
    )
    said = [
        record.levelname
        for record in caplog.records
        if "detail control is off in this run" in record.getMessage()
    ]
    assert said == [level]
