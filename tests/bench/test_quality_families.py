"""The methods that `dev.py bench quality` compares: each one's idea, on the demo model or on tensors whose
outcome is known."""

import inspect
import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from comfy.patcher_extension import WrappersMP
from freescale_pack.freescale_core.schedule import TIMESTEPS, ddim_uniform_timesteps, restart_step
from freescale_pack.nodes.backbones.unet import dilation_convs
from freescale_pack.nodes.patching.model import settings_of

from tools.bench.picture_quality import painter as painter_file
from tools.bench.picture_quality.families import (
    FAMILIES,
    demofusion,
    enlarged,
    fouriscale,
    hires_fix,
    ideas,
    scalecrafter,
    tiles,
    true_images,
    upscale_model,
)
from tools.bench.picture_quality.families.dilated_layers import (
    KEY,
    deepest_down_convs,
    deepest_up_convs,
    up_levels,
    upsampler_convs,
)
from tools.bench.picture_quality.painter import Painter, Sampling, Shot, loaded
from tools.harness.demo_checkpoint import DEMO, demo_checkpoint
from tools.harness.demo_prompts import CHECKPOINT

BASE, CELLS = (64, 64), 8
STEPS = 20


class Noting(Painter):
    """Samples nothing: notes the model and what it was asked for."""

    def sampled(self, model, text, seed, start, restart=0.0, steps=None, told=None):
        self._encoded.update(model=model, start=start["samples"], restart=restart, steps=steps, told=told)
        return start

    def decoded(self, latent):
        return latent["samples"]

    def enlarged(self, latent, size):
        return {"samples": torch.nn.functional.interpolate(latent["samples"], scale_factor=2.0)}


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


def test_hires_fix_starts_from_the_enlarged_image_at_its_restart():
    plain, told, half = (asked(name, 0.5) for name in ("hires_fix", "hires_fix_told", "hires_fix_half"))
    assert plain.model is demo_checkpoint()[0] and plain.restart == 0.5 and plain.steps is None
    assert plain.start.shape[-1] == 2 * CELLS
    assert (plain.told, told.told, half.steps) == (None, BASE, STEPS // 2)


def test_a_restart_leaves_out_the_first_steps(monkeypatch):
    asked_for = []
    monkeypatch.setattr(
        "nodes.KSamplerAdvanced.sample", lambda self, *args: asked_for.append(args) or [{"samples": None}]
    )
    painter = Painter(*demo_checkpoint(), Sampling(3.0, STEPS))
    for restart in (0.0, 0.5):
        painter.sampled(painter.model, "owl", 1, {}, restart)
    first = restart_step(ddim_uniform_timesteps(STEPS), 0.5)
    assert [args[-3] for args in asked_for] == [0, first] and 0 < first < STEPS


def test_an_unsharp_mask_adds_what_a_blur_takes_away():
    flat, edge = torch.full((1, 32, 32, 3), 0.5), torch.zeros(1, 32, 32, 3)
    edge[:, :, 16:] = 0.5
    assert torch.allclose(enlarged.unsharp_masked(flat, 3.0, 1.0), flat, atol=1e-5)
    sharp = enlarged.unsharp_masked(edge, 1.0, 1.0)
    assert sharp[0, 16, 16, 0] > 0.6 and sharp[0, 16, 30, 0] == pytest.approx(0.5, abs=1e-3)


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


def test_hires_fix_with_all_steps_below_its_denoise_is_ksamplers():
    for restart in (0.5, 0.7, 0.8):
        found = asked("hires_fix_ksampler", restart)
        steps = len(ddim_uniform_timesteps(found.steps)) - restart_step(
            ddim_uniform_timesteps(found.steps), found.restart
        )
        assert steps == STEPS and found.told is None


def test_hires_fix_with_an_unsharp_mask_is_hires_fix_and_the_mask(monkeypatch):
    def masked(image, amount, sigma):
        return 2 * image if (amount, sigma) == (0.1, 1.0) else image

    monkeypatch.setattr(hires_fix, "unsharp_masked", masked)
    latent = {"samples": torch.randn(1, 4, CELLS, CELLS)}
    painter = Noting(*demo_checkpoint(), Sampling(3.0, STEPS))
    shot = Shot("owl", 1, BASE, ((128, 128),), latent)
    plain, mask = (
        FAMILIES["hires_fix"].paint(painter, shot, 0.7),
        FAMILIES["hires_fix_sharpened"].paint(painter, shot, 0.1),
    )
    assert torch.equal(mask, 2 * plain) and painter._encoded["restart"] == 0.7


def test_freeu_is_the_cores_with_the_authors_numbers_on_both():
    for name, knob, restart in (("freeu", 2.0, 0.3), ("hires_fix_freeu", 0.7, 0.7)):
        found = asked(name, knob)
        (patch,) = found.model.model_options["transformer_options"]["patches"]["output_block_patch"]
        assert found.restart == restart
        numbers = inspect.getclosurevars(patch).nonlocals["scale_dict"]
        assert [*numbers.values()] == [(1.1, 0.6), (1.2, 0.4)]
        assert (settings_of(found.model) is not None) == (name == "freeu")


def test_a_true_image_is_drawn_of_the_prompts_thing_and_place(monkeypatch):
    asked_for = []
    monkeypatch.setitem(
        sys.modules,
        "tools.demo.train.pictures",
        SimpleNamespace(
            render_picture=lambda *args: asked_for.append(args) or np.full((4, 6, 3), 255, np.uint8)
        ),
    )
    shot = Shot("red car on a gray background", 7, BASE, ((48, 32),), {})
    image = true_images.paint(None, shot, 0.0)
    assert asked_for == [("red car", "on a gray background", (32, 48), 7)]
    assert image.shape == (1, 4, 6, 3) and image.max() == 1


def test_the_temperature_sharpens_attention_by_how_many_more_tokens_there_are():
    model = asked("temperature", 0.5).model
    (patch,) = model.model_options["transformer_options"]["patches"]["attn1_patch"]
    q = torch.ones(1, 16 * 16, 4)
    scaled, _, _ = patch(q, q, q, {"original_shape": (1, 4, 16, 16)})
    assert scaled[0, 0, 0] == pytest.approx(math.sqrt(math.log(256) / math.log(64)))
    q = torch.ones(1, 8 * 8, 4)
    assert patch(q, q, q, {"original_shape": (1, 4, 8, 8)})[0][0, 0, 0] == 1


def test_a_held_low_band_pulls_low_frequencies_and_leaves_high_ones():
    found = asked("low_band", 1.0)
    (pull,) = found.model.model_options["sampler_post_cfg_function"]
    reference = ideas.low(demo_checkpoint()[0].model.process_latent_in(found.start))
    stripes = torch.ones(1, 4, 16, 16)
    stripes[..., ::2] = -1
    held = pull({"denoised": stripes.clone()})
    assert torch.allclose(held, reference + stripes - ideas.low(stripes), atol=1e-5)
    assert torch.equal(
        asked("low_band", 0.0).model.model_options["sampler_post_cfg_function"][0]({"denoised": stripes}),
        stripes,
    )


def test_a_mixed_start_has_the_low_band_of_one_enlargement_and_the_high_band_of_the_other():
    start, plain = asked("mixed_start", 0.5).start, asked("hires_fix", 0.5).start
    of_latent = torch.nn.functional.interpolate(plain[..., ::2, ::2], scale_factor=2.0, mode="bicubic")
    assert not torch.allclose(start, plain)
    assert torch.allclose(start, ideas.low(plain) + of_latent - ideas.low(of_latent), atol=1e-4)


def test_progressive_dilation_never_grows_and_ends_where_the_papers_does():
    model = asked("progressive", 2.0, 4).model
    found = {t: max(dilations(model, 4, t)) for t in (990, 650, 310, 290)}
    assert list(found.values()) == [4, 2, 2, 1]
    assert set(dilation_convs(unet())) == dilations(model, 4, 990)[4]


def test_held_tiles_are_freescale_without_its_parts_and_the_base_size_is_all_that_the_model_sees():
    found = asked("held_tiles", 0.5)
    settings, seen = settings_of(found.model), []
    assert settings.fusion is None and settings.dilation is None and settings.detail.alpha == 0.5
    assert found.restart == 0.3
    tiles_and_whole(found.model, 100, seen)
    assert {size for size in seen} == {(CELLS, CELLS)}


def test_tiles_give_way_to_the_whole_image_at_a_timestep():
    found, early, late = asked("tiles_then_whole", 500.0), [], []
    assert settings_of(found.model).fusion is not None
    tiles_and_whole(found.model, 600, early)
    tiles_and_whole(found.model, 400, late)
    assert set(early) == {(CELLS, CELLS)} and late == [(2 * CELLS, 2 * CELLS)]


def tiles_and_whole(model, t, seen):
    """Call the model's wrapper at a timestep and note the sizes that the UNet is given."""
    x, sigma = (
        torch.randn(1, 4, 2 * CELLS, 2 * CELLS),
        model.get_model_object("model_sampling").sigma(torch.tensor([t])),
    )
    apply = lambda x, sigma, **c: seen.append(tuple(x.shape[2:])) or x  # noqa: E731
    out = model.model_options["model_function_wrapper"](apply, {"input": x, "timestep": sigma[None], "c": {}})
    assert torch.allclose(out, x, atol=1e-6)


@pytest.mark.parametrize("name", ["sharpened_start", "by_detail"])
def test_ideas_that_look_at_the_image_draw_it_through_the_real_nodes(name):
    """Both need the decoded image, so they are asked with the demo model's own decoder."""
    seen = []

    class Asked(Painter):
        def sampled(self, model, text, seed, start, *args, **kwargs):
            seen.append((model, start["samples"]))
            return start

    painter = Asked(*demo_checkpoint(), Sampling(3.0, STEPS))
    shot = Shot("owl", 1, BASE, ((128, 128),), painter.encoded(torch.rand(1, 64, 64, 3)))
    FAMILIES[name].paint(painter, shot, 0.5)
    ((model, start),) = seen
    if name == "by_detail":
        (region,) = settings_of(model).detail.regions
        assert region.alpha == 0.5 and settings_of(model).detail.alpha == 0.125
    else:
        plain = painter.enlarged(shot.latent, shot.target)["samples"]
        assert start.shape == plain.shape and not torch.allclose(start, plain, atol=1e-2)


def test_real_esrgans_weights_are_read_in_the_order_of_use(tmp_path):
    """A made-up file: every convolution has 3x3 weights of its own number, and the bias 0.5."""
    lines, data = [], b""
    for number in range(len(upscale_model.CONVS)):
        lines.append(f"Convolution c{number} 1 1 a b 0=1 1=3 4=1 5=1 6=9")
        data += upscale_model.HALF_PRECISION.to_bytes(4, "little")
        data += np.full(9, number, np.float16).tobytes() + b"\0\0" + np.float32(0.5).tobytes()
    (tmp_path / "m.param").write_text("\n".join(["7767517", "1 1", *lines]), encoding="utf-8")
    (tmp_path / "m.bin").write_bytes(data)
    found = upscale_model.read_weights(tmp_path / "m")
    assert len(found) == 2 * len(upscale_model.CONVS)
    for number in (0, 5, 350):
        name = upscale_model.CONVS[number]
        assert (found[f"{name}.weight"] == number).all() and found[f"{name}.weight"].shape == (1, 1, 3, 3)
        assert found[f"{name}.bias"].item() == 0.5


def test_an_enlarged_start_is_made_once_for_all_methods_and_forgotten_with_its_latent(monkeypatch):
    made = []
    upscale = painter_file.FreeScaleUpscale.execute

    def noted(*args, **kwargs):
        made.append(args)
        return upscale(*args, **kwargs)

    monkeypatch.setattr(painter_file.FreeScaleUpscale, "execute", noted)
    painter = Painter(*demo_checkpoint(), Sampling(3.0, 2))
    latent = {"samples": torch.zeros(1, 4, CELLS, CELLS)}
    first, again = (painter.enlarged(latent, (128, 128)) for _ in range(2))
    assert first is again and len(made) == 1
    painter.enlarged(latent, (256, 256))
    painter.enlarged({"samples": latent["samples"].clone()}, (128, 128))
    assert len(made) == 3
    del latent
    made.clear()
    assert not painter._enlarged


def test_bf16_is_the_unets_arithmetic_and_changes_an_image_by_rounding_alone():
    seen, latents = [], []
    for bf16 in (False, True):
        model, *others = loaded(DEMO / CHECKPOINT, bf16)
        handle = model.get_model_object("diffusion_model").register_forward_pre_hook(
            lambda module, inputs: seen.append(inputs[0].dtype)
        )
        with torch.inference_mode():
            latents.append(
                Painter(model, *others, Sampling(3.0, 4)).base_latent("owl at night", 1, (128, 128))
            )
        handle.remove()
    assert set(seen[:4]) == {torch.float32} and set(seen[4:]) == {torch.bfloat16}
    one, other = (latent["samples"] for latent in latents)
    assert 0 < float((one - other).norm() / one.norm()) < 0.03


def test_no_method_changes_the_start_that_all_share():
    latent = Painter(*demo_checkpoint(), Sampling(3.0, 2)).base_latent("owl at night", 1, (64, 64))
    shot = Shot("owl at night", 1, (64, 64), ((128, 128),), latent)
    painter = Painter(*demo_checkpoint(), Sampling(3.0, 2))
    start = painter.enlarged(latent, (128, 128))["samples"]
    before, base = start.clone(), latent["samples"].clone()
    for family in FAMILIES.values():
        family.paint(painter, shot, family.values[0])
        assert torch.equal(start, before) and torch.equal(latent["samples"], base), family.name
    assert painter.enlarged(latent, (128, 128))["samples"] is start
