"""The methods that `dev.py bench quality` compares: each one's idea, on the demo model or on tensors whose
outcome is known."""

import math
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
    ideas,
    scalecrafter,
    tiles,
    upscale_model,
)
from tools.bench.picture_quality.families.dilated_layers import KEY, deepest_down_convs, deepest_up_convs
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

    def number_them(some):
        assert some.shape[2:] == (4, 4)
        return torch.cat([torch.full_like(tile, next(numbers)) for tile in some.split(1)])

    mean = tiles.tile_mean(number_them, torch.zeros(1, 1, 4, 8), 4, 4)
    assert mean[0, 0, 0].tolist() == [1, 1, 1.5, 1.5, 2.5, 2.5, 3, 3]
    assert asked("tiles", 0.5).told == BASE


@pytest.mark.parametrize("shift", [(0, 0), (1, -1)])
def test_tiles_of_a_denoiser_that_looks_at_one_place_are_the_denoiser(shift):
    x = torch.randn(2, 4, 16, 24)
    assert torch.allclose(tiles.tile_mean(torch.tanh, x, 8, 8, shift), torch.tanh(x), atol=1e-6)


def test_demofusion_denoises_every_second_value_as_an_image_of_the_base_size():
    x, seen = torch.randn(1, 4, 16, 16), []

    def denoise(grids):
        seen.append(grids)
        return grids + 1

    out = demofusion.dilated_grid(denoise, x, (2, 2), 0.01)
    assert torch.allclose(out, x + 1, atol=1e-5)
    assert seen[0].shape == (4, 4, 8, 8)
    assert torch.allclose(seen[0][1], x[0, :, ::2, 1::2], atol=1e-5)


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
    assert set(dilations(asked("scalecrafter", 0.6, 4).model, 4, 900)) >= {1, 2, 3, 4}


def test_scalecrafters_guidance_denoises_with_the_undilated_model(monkeypatch):
    """At 4x. Anchor 7, pull 2 - 1, scale 3: what is denoised is 7 + 3."""
    model, during = asked("scalecrafter", 0.6, 4).model, []

    def plain_call(*args):
        during.append(set(dilations(model, 4, 900)))
        return [torch.full((1,), 7.0)]

    monkeypatch.setattr(scalecrafter, "calc_cond_batch", plain_call)
    args = {"input": torch.zeros(1), "cond_denoised": torch.full((1,), 2.0), "cond_scale": 3.0}
    args |= {"uncond_denoised": torch.ones(1), "model": None, "input_uncond": None, "timestep": None}
    noise = model.model_options["sampler_cfg_function"](args | {"model_options": {}})
    assert args["input"] - noise == 10 and during == [{1}]
    assert "sampler_cfg_function" not in asked("scalecrafter", 0.6).model.model_options


def test_fouriscale_cuts_what_a_dilated_kernel_cannot_hold():
    x = torch.arange(32.0)
    low, high = (torch.cos(2 * math.pi * cycles / 32 * x).expand(1, 1, 32, 32) for cycles in (4, 12))
    kept = fouriscale.low_pass(low + high, 2)
    assert torch.allclose(kept, low, atol=1e-5)
    assert torch.allclose(fouriscale.low_pass((low + high).mT, 2), low.mT, atol=1e-5)


def test_fouriscale_filters_the_input_of_the_dilated_layers_and_lets_go():
    seen, conv = [], torch.nn.Conv2d(1, 1, 3)
    conv.forward = lambda x: seen.append(x) or x
    noise = torch.randn(1, 1, 16, 16)
    with fouriscale.low_passed([conv], 2):
        conv(noise)
    conv(noise)
    assert torch.equal(seen[0], fouriscale.low_pass(noise, 2)) and torch.equal(seen[1], noise)
    model = asked("fouriscale", 0.7).model
    assert set(deepest_down_convs(unet())) <= dilations(model, 2, 900)[2]
    assert set(dilations(model, 2, 100)) == {1}
    assert [fouriscale.factor_at(p, 0.7, 4) for p in (0.0, 0.4, 0.55, 0.7)] == [4, 4, 2, 1]


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
