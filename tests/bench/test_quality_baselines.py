"""The published methods that `dev.py bench quality` compares with: each one's idea, on the demo model or on
tensors whose outcome is known."""

import math

import pytest
import torch
from asked_families import BASE, CELLS, asked, dilations, unet
from freescale_pack.freescale_core.schedule import TIMESTEPS
from freescale_pack.nodes.patching.model import settings_of

from tools.bench.picture_quality.families import demofusion, fouriscale, scalecrafter, tiles
from tools.bench.picture_quality.families.dilated_layers import (
    deepest_down_convs,
    deepest_up_convs,
    up_levels,
    upsampler_convs,
)
from tools.harness.demo_checkpoint import demo_checkpoint


def test_deep_shrink_shows_the_deepest_blocks_the_base_sizes_grid():
    sizes = {}
    for end in (0.0, 0.35):
        model = asked("deep_shrink", end).model
        (patch,) = model.model_options["transformer_options"]["patches"]["input_block_patch_after_skip"]
        options = {"block": ("input", 3), "sigmas": torch.tensor([10.0])}
        sizes[end] = patch(torch.zeros(1, 4, 16, 16), options).shape[-1]
    assert sizes == {0.0: 16, 0.35: CELLS}


def test_tiles_are_as_large_as_the_base_and_averaged_where_they_overlap():
    numbers = iter(range(1, 100))

    def number_them(some, places):
        assert some.shape[2:] == (4, 4)
        return torch.cat([torch.full_like(tile, next(numbers)) for tile in some.split(1)])

    mean = tiles.tile_mean(number_them, torch.zeros(1, 1, 4, 8), 4, 4)
    assert mean[0, 0, 0].tolist() == [1, 1, 1.5, 1.5, 2.5, 2.5, 3, 3]
    assert asked("tiles", 0.5).told == BASE


@pytest.mark.parametrize("shift", [(0, 0), (1, -1)])
def test_tiles_of_a_denoiser_that_looks_at_one_place_are_the_denoiser(shift):
    x = torch.randn(2, 4, 16, 24)
    mean = tiles.tile_mean(lambda some, places: torch.tanh(some), x, 8, 8, shift)
    assert torch.allclose(mean, torch.tanh(x), atol=1e-6)


def test_demofusion_takes_the_noise_out_of_every_second_value_as_an_image_of_the_base_size():
    x, seen = torch.randn(1, 4, 16, 16), []

    def denoise(grids):
        seen.append(grids)
        return 0.25 * grids

    out = demofusion.dilated_grid(denoise, x, (2, 2), 0.01)
    assert torch.allclose(out, 0.25 * x, atol=1e-5)
    assert seen[0].shape == (4, 4, 8, 8)
    assert torch.allclose(seen[0][1], x[0, :, ::2, 1::2], atol=1e-5)
    blurred = demofusion.dilated_grid(lambda grids: grids, x, (2, 2), 0.8)
    assert torch.allclose(blurred, x, atol=1e-5)  # What the model finds no noise in stays sharp.


def test_demofusion_tells_each_tile_its_place_in_the_whole():
    model = demo_checkpoint()[0].model
    numbers = {
        "height": 128,
        "width": 64,
        "crop_h": 32,
        "crop_w": 16,
        "target_height": 64,
        "target_width": 48,
    }
    pooled = torch.randn(2, model.adm_channels - 6 * 256)
    expected = torch.cat(
        [model.encode_adm(pooled_output=row[None], device="cpu", **numbers) for row in pooled]
    )
    other = torch.cat([pooled, torch.randn(2, 6 * 256)], dim=1)
    places = [(slice(4, 12), slice(2, 8)), (slice(0, 8), slice(0, 6))]
    told = demofusion.told_places(other, places, (16, 8), (48, 64), model.embedder)
    assert torch.allclose(told[:2], expected, atol=1e-6) and len(told) == 4
    numbers |= {"crop_h": 0, "crop_w": 0}
    corner = [model.encode_adm(pooled_output=row[None], device="cpu", **numbers) for row in pooled]
    assert torch.allclose(told[2:], torch.cat(corner), atol=1e-6)


def test_demofusion_runs_a_model_that_is_told_no_sizes():
    model, x = demo_checkpoint()[0], torch.randn(1, 4, 16, 16)
    wrapper = demofusion.local_and_global(model, BASE, torch.Generator().manual_seed(0))
    sigma = model.get_model_object("model_sampling").sigma(torch.tensor([500]))
    out = wrapper(lambda x, sigma, **c: 0.5 * x, {"input": x, "timestep": sigma[None], "c": {}})
    assert out.shape == x.shape and out.norm() < x.norm()


def test_demofusion_gives_a_stage_the_mean_and_spread_of_the_base():
    base, stage = 3 + 2 * torch.randn(1, 4, 8, 8), torch.randn(1, 4, 16, 16)
    out = demofusion.spread_as(stage, base)
    assert (out.mean(), out.std()) == (pytest.approx(base.mean()), pytest.approx(base.std()))
    assert torch.corrcoef(torch.stack([out.flatten(), stage.flatten()]))[0, 1] == pytest.approx(1)


def test_demofusion_is_held_by_the_skip_residual_alone_and_its_blur_fades():
    settings = settings_of(asked("demofusion", 3.0).model)
    assert settings.fusion is None and settings.dilation is None and settings.detail.alpha == 3.0
    assert demofusion.blur_at(TIMESTEPS) == pytest.approx(demofusion.MOST_BLUR, rel=0.01)
    assert demofusion.blur_at(0) == pytest.approx(demofusion.LEAST_BLUR, rel=0.01)


def test_scalecrafter_dilates_its_layers_for_a_share_of_the_schedule():
    model = asked("scalecrafter", 0.6).model
    early = dilations(model, 2, 900)
    assert set(deepest_down_convs(unet())) | set(deepest_up_convs(unet())) <= early[2]
    assert set(dilations(model, 2, 300)) == {1}
    fourfold = asked("scalecrafter", 0.7, 4).model
    early, levels = dilations(fourfold, 4, 999), up_levels(unet())
    for level, dilation in zip(levels, (4, 3, 2), strict=True):
        assert set(level) <= early[dilation]
    assert max(dilations(fourfold, 4, 450)) == 2 and set(dilations(fourfold, 4, 250)) == {1}


def test_scalecrafters_guidance_denoises_with_a_model_that_is_dilated_less(monkeypatch):
    """At 4x. Anchor 7, pull 2 - 1, scale 3: what is denoised is 7 + 3; when the dilation is over, 1 + 3."""
    model, during = asked("scalecrafter", 0.7, 4).model, []

    def less_dilated(*args):
        during.append(dilations(model, 4, 999))
        return [torch.full((1,), 7.0)]

    monkeypatch.setattr(scalecrafter, "calc_cond_batch", less_dilated)
    args = {"input": torch.zeros(1), "cond_denoised": torch.full((1,), 2.0), "cond_scale": 3.0}
    args |= {"uncond_denoised": torch.ones(1), "model": None, "input_uncond": None, "model_options": {}}
    guide = model.model_options["sampler_cfg_function"]
    sigmas = {t: model.get_model_object("model_sampling").sigma(torch.tensor([t])) for t in (999, 250)}
    assert args["input"] - guide(args | {"timestep": sigmas[999]}) == 10
    assert args["input"] - guide(args | {"timestep": sigmas[250]}) == 4
    (during,) = during
    assert set(during) == {1, 4} and set(deepest_up_convs(unet())) <= during[4]
    assert not set(deepest_down_convs(unet())) & during[4]
    assert set(deepest_down_convs(unet())) <= dilations(model, 4, 999)[4]
    assert "sampler_cfg_function" not in asked("scalecrafter", 0.6).model.model_options


def test_fouriscale_damps_what_a_dilated_kernel_cannot_hold():
    """Of 1 / 4 cycles a value and more: nothing at 1 / 8, all that is to go at 3 / 8, half of it between."""
    x = torch.arange(32.0)
    waves = {cycles: torch.cos(2 * math.pi * cycles / 32 * x).expand(1, 1, 32, 32) for cycles in (4, 10, 12)}
    for cycles, left in {4: 1, 10: 0.8, 12: 0.6}.items():
        assert torch.allclose(fouriscale.low_pass(waves[cycles], 2), left * waves[cycles], atol=1e-5)
        assert torch.allclose(fouriscale.low_pass(waves[cycles].mT, 2), left * waves[cycles].mT, atol=1e-5)


def test_fouriscale_filters_the_input_of_the_dilated_layers_and_lets_go():
    seen, conv = [], torch.nn.Conv2d(1, 1, 3)
    conv.forward = lambda x: seen.append(x) or x
    noise = torch.randn(1, 1, 16, 16)
    with fouriscale.low_passed([conv], 2):
        conv(noise)
    conv(noise)
    assert torch.equal(seen[0], fouriscale.low_pass(noise, 2)) and torch.equal(seen[1], noise)


def test_fouriscales_dilation_is_rounded_up_and_leaves_out_the_second_upsampler():
    found = asked("fouriscale", 0.7)
    assert found.told == BASE
    model = found.model
    deepest, second = upsampler_convs(unet())[:2]
    early = dilations(model, 2, 900)[2]
    assert {*deepest_down_convs(unet()), deepest} <= early and second not in early
    assert dilations(model, 2, 310)[2] == early and set(dilations(model, 2, 290)) == {1}
    assert [fouriscale.dilation_at(p, 0.7, 4) for p in (0.0, 0.4, 0.55, 0.7)] == pytest.approx([4, 4, 2.5, 1])


def test_fouriscale_does_not_filter_what_it_enlarges(monkeypatch):
    filtered, low_passed = [], fouriscale.low_passed
    monkeypatch.setattr(
        fouriscale, "low_passed", lambda convs, d: filtered.append(convs) or low_passed(convs, d)
    )
    dilated_convs = dilations(asked("fouriscale", 0.7).model, 2, 900)[2]
    assert dilated_convs - set(filtered[0]) == {upsampler_convs(unet())[0]}
