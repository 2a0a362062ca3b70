"""FreeScale on video UNets: VideoCrafter2 and Stable Video Diffusion, whose frames are a batch."""

import dataclasses

import comfy.samplers
import pytest
import torch
from comfy import context_windows
from freescale_pack.freescale_core.detail import blend_weight
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.planning.plan import CascadePlan
from freescale_pack.freescale_core.presets import PRESETS
from freescale_pack.freescale_core.schedule import restart_step
from freescale_pack.freescale_core.settings import PromptRegion
from freescale_pack.nodes import cascade_node
from freescale_pack.nodes.backbones.unet import (
    all_transformers,
    attention_blocks,
    auto_preset,
    dilation_convs,
)
from freescale_pack.nodes.backbones.video import attention_over_time_marked, frames_are_a_batch
from freescale_pack.nodes.cascade import run as cascade_run
from freescale_pack.nodes.cascade.kept import KEPT
from freescale_pack.nodes.cascade.vae import decode
from freescale_pack.nodes.cascade_node import FreeScaleCascade
from freescale_pack.nodes.host.noise_level import timestep, variance_exploding_sigma
from freescale_pack.nodes.patching import dilation, scale_fusion
from freescale_pack.nodes.patching.model import with_settings
from freescale_pack.nodes.upscale_node import FreeScaleUpscale

import nodes as host_nodes
from tools.harness.demo_checkpoint import demo_checkpoint

from .video_models import (
    BASE,
    CFG,
    SEED,
    TEXT_WIDTH,
    image_to_video,
    relative_error,
    sample,
    stable_video_diffusion,
    text_to_video,
    videocrafter,
)

MODELS = {"VideoCrafter2": (videocrafter, text_to_video), "SVD": (stable_video_diffusion, image_to_video)}
BASE_SIZE = Size(*BASE[::-1])
LARGE = (2 * BASE[0], 2 * BASE[1])
STEPS = 4


def patched(name, **changes):
    """A video model with its preset for a tiny base size."""
    return with_settings(MODELS[name][0](), dataclasses.replace(PRESETS[name], base=BASE_SIZE, **changes))


def large_run(model, name, frames=2, **options):
    """The last two steps of a stage at twice the base size, from a latent of random numbers."""
    positive, negative, latent = MODELS[name][1](*LARGE, frames)
    start = torch.randn(latent["samples"].shape, generator=torch.Generator().manual_seed(1))
    return sample(model, positive, negative, start, **{"first": 1, "steps": 3, **options})


# --- Presets and the timestep


@pytest.mark.parametrize(("name", "trained"), [("VideoCrafter2", (512, 320)), ("SVD", (1024, 576))])
@pytest.mark.parametrize("factor", [1, 2])
def test_preset_auto_knows_the_size_that_a_video_model_is_trained_for(caplog, name, trained, factor):
    preset = auto_preset(MODELS[name][0]())
    assert preset is PRESETS[name]
    width, height = trained
    assert preset.base_for(Size(factor * height, factor * width)) == Size(height, width)
    assert "does not know" not in caplog.text


def test_videocrafters_noise_levels_count_as_the_timesteps_of_its_own_schedule():
    """Read off the ordinary table, the level of t 681 would be t 767, and c of eq. 4 .76 for .59."""
    schedule = videocrafter().model.model_sampling
    for t in (1, 301, 399, 400, 501, 681, 981, 999):
        assert timestep(schedule, float(schedule.sigmas[t])) == pytest.approx(t, abs=0.01)
    level = variance_exploding_sigma(schedule, float(schedule.sigmas[681]))
    assert blend_weight(level, 2.0) == pytest.approx(0.592, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "scheduler", "steps", "first"),
    [
        ("VideoCrafter2", "ddim_uniform", 50, 15),
        ("SVD", "karras", 25, 16),
        ("SVD", "karras", 20, 13),
        ("SVD", "karras", 30, 19),
    ],
)
def test_a_stage_restarts_by_the_timestep_and_not_by_the_share_of_the_steps(name, scheduler, steps, first):
    """SVD's levels begin at 700: the first 30 % of its steps end at 98, where nothing is left of a video."""
    schedule = MODELS[name][0]().model.model_sampling
    sigmas = comfy.samplers.calculate_sigmas(schedule, scheduler, steps)
    timesteps = [timestep(schedule, float(sigma)) for sigma in sigmas[:-1]]
    assert restart_step(timesteps, PRESETS[name].restart) == first
    low, high = PRESETS[name].restart_range
    assert low <= timesteps[first] <= high


def test_dilation_of_svd_ends_by_the_timestep():
    """Its share of the steps would end it at sigma .092."""
    run = scale_fusion.SamplerRun(Size(8, 16), Size(16, 32), 0, stable_video_diffusion().model.model_sampling)
    calls = dilation.DilatedCalls(run, PRESETS["SVD"].dilation)
    assert [calls.factor(run.target, sigma) for sigma in (700.0, 3.3, 0.84, 0.83)] == [2, 2, 2, None]


def test_the_dilated_convolutions_are_those_of_a_frame():
    for model, _ in MODELS.values():
        convolutions = dilation_convs(model().model.diffusion_model)
        assert len(convolutions) >= 5
        assert all(isinstance(conv, torch.nn.Conv2d) for conv in convolutions)


# --- Attention over time


def fused_layers(monkeypatch):
    """The (block, transformer) of each layer that is fused."""
    fused, real = [], scale_fusion.Branches

    def branches(fusion, call, sigma, windows, tokens):
        fused.append((call.block, call.transformer))
        return real(fusion, call, sigma, windows, tokens)

    monkeypatch.setattr(scale_fusion, "Branches", branches)
    return fused


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("frames", [3, 16 * 8])
def test_attention_over_time_is_never_fused_whatever_the_shapes(monkeypatch, caplog, name, frames):
    """With as many frames as the grid has places, its tokens have the shape of a frame's."""
    monkeypatch.setattr(scale_fusion, "chunked_attention", lambda q, k, v, attend, size, out: out.copy_(q))
    fused, counted = fused_layers(monkeypatch), []
    model = patched(name, dilation=None, detail=None)
    unet = model.model.diffusion_model
    monkeypatch.setattr(
        dilation,
        "attention_over_time_marked",
        lambda unet: (counted.append(1), attention_over_time_marked(unet))[1],
    )
    positive, negative, _ = MODELS[name][1](128, 64, frames)
    small = with_settings(model, dataclasses.replace(PRESETS[name], base=Size(64, 64), dilation=None))
    start = torch.randn(frames, 4, 8, 16, generator=torch.Generator().manual_seed(1))
    sample(small, positive, negative, start, first=1, steps=2, cfg=1.0)
    # Both levels of the tiny networks are larger than their windows: each block is fused once a call.
    assert len(counted) == 1
    assert len(fused) == len(set(fused)) == len(attention_blocks(unet))
    assert "tiled or merged" not in caplog.text


def test_marks_of_attention_over_time_go_whatever_happens():
    unet = stable_video_diffusion().model.diffusion_model
    stacks = [block for _, layer in all_transformers(unet) for block in layer.time_stack]
    with pytest.raises(RuntimeError), attention_over_time_marked(unet):
        assert all(block._forward_pre_hooks for block in stacks)
        raise RuntimeError
    assert len(stacks) > 3 and not any(block._forward_pre_hooks for block in stacks)


def test_prompt_regions_leave_attention_over_time_alone(monkeypatch):
    seen = []
    real = scale_fusion.AttentionCall
    region = PromptRegion(torch.zeros(1, 2, TEXT_WIDTH), torch.ones(1, 8, 16))
    import freescale_pack.nodes.patching.prompt_regions as prompt_regions

    before = prompt_regions.RegionCache.act_in

    def act_in(self, tokens, call):
        acts = before(self, tokens, call)
        seen.append((call.is_over_time, acts))
        return acts

    monkeypatch.setattr(prompt_regions.RegionCache, "act_in", act_in)
    assert real is prompt_regions.AttentionCall
    frames = 8 * 16
    model = with_settings(
        stable_video_diffusion(),
        dataclasses.replace(
            PRESETS["SVD"], base=Size(64, 64), fusion=None, dilation=None, prompt_regions=(region,)
        ),
    )
    positive, negative, _ = image_to_video(128, 64, frames)
    start = torch.randn(frames, 4, 8, 16, generator=torch.Generator().manual_seed(1))
    sample(model, positive, negative, start, first=1, steps=2, cfg=1.0)
    assert (True, False) in seen and (False, True) in seen and (True, True) not in seen


# --- Videos are what images are


@pytest.mark.parametrize("name", MODELS)
def test_every_part_changes_a_video_and_at_the_base_size_none_does(name):
    model, conditioned = MODELS[name]
    later = {
        "VideoCrafter2": {"steps": 5, "first": 2},
        "SVD": {"scheduler": "karras", "steps": 8, "first": 4},
    }[name]
    plain = large_run(model(), name, cfg=1.0, **later)
    off = {"fusion": None, "dilation": None, "detail": None}
    for part in off:
        kept = {other: None for other in off if other != part}
        got = large_run(patched(name, **kept), name, cfg=1.0, **later)
        assert relative_error(got, plain) > 1e-4
    run = conditioned()
    assert torch.equal(sample(patched(name), *run), sample(model(), *run))


def test_equal_frames_without_layers_over_time_equal_the_image(monkeypatch):
    """A video model whose parts over time do nothing makes each frame as an image."""
    model = videocrafter()
    unet = model.model.diffusion_model
    last = _last_layers_over_time(unet)
    over_time = [
        tensor
        for name, tensor in unet.named_parameters()
        if ".temopral_conv.conv4.3." in name or name in last
    ]
    before = [tensor.detach().clone() for tensor in over_time]
    for tensor in over_time:
        tensor.data.zero_()
    try:
        model = patched("VideoCrafter2")
        positive, negative, _ = text_to_video(*LARGE, 1)
        start = torch.randn(1, 4, 16, 32, generator=torch.Generator().manual_seed(1))
        monkeypatch.setattr(
            comfy.sample, "prepare_noise", lambda samples, *rest: NOISE.expand(len(samples), -1, -1, -1)
        )
        image = sample(model, positive, negative, start, first=1, steps=3)
        video = sample(model, positive, negative, start.repeat(2, 1, 1, 1), first=1, steps=3)
    finally:
        for tensor, was in zip(over_time, before, strict=True):
            tensor.data.copy_(was)
    assert len(over_time) > 20
    assert relative_error(video, image.expand_as(video)) < 1e-5


NOISE = torch.randn(1, 4, 16, 32, generator=torch.Generator().manual_seed(8))


def _last_layers_over_time(unet):
    return {
        f"{name}.proj_out.{part}"
        for name, module in unet.named_modules()
        if getattr(module, "is_over_time_alone", False)
        for part in ("weight", "bias")
    }


@pytest.mark.parametrize("name", MODELS)
def test_cond_and_uncond_apart_equal_both_at_once(monkeypatch, name):
    together = large_run(patched(name), name)
    kind = type(MODELS[name][0]().model)
    monkeypatch.setattr(kind, "memory_required", lambda self, shape, **sizes: 1e30 * (shape[0] > 3))
    assert relative_error(large_run(patched(name), name), together) < 1e-5


def test_context_windows_over_the_frames_run_with_freescale():
    model = patched("VideoCrafter2")
    schedule = context_windows.get_matching_context_schedule(context_windows.ContextSchedules.STATIC_STANDARD)
    fuse = context_windows.get_matching_fuse_method(context_windows.ContextFuseMethods.PYRAMID)
    model.model_options["context_handler"] = context_windows.IndexListContextHandler(
        schedule, fuse, context_length=4, context_overlap=2, dim=0
    )
    context_windows.create_prepare_sampling_wrapper(model)
    # With as many noise levels as frames, for older hosts compare them one by one.
    run = {"frames": 5, "first": 1, "steps": 5, "cfg": 1.0}
    got = large_run(model, "VideoCrafter2", **run)
    assert got.isfinite().all()
    assert relative_error(got, large_run(patched("VideoCrafter2"), "VideoCrafter2", **run)) > 1e-4


def test_all_frames_and_both_prompts_have_the_same_windows(monkeypatch):
    drawn, seen, real = [], [], scale_fusion.window_rng

    def window_rng(*key):
        drawn.append(key)
        return real(*key)

    monkeypatch.setattr(scale_fusion, "window_rng", window_rng)
    for frames in (1, 2):
        drawn.clear()
        large_run(patched("VideoCrafter2"), "VideoCrafter2", frames=frames)
        assert len(set(drawn)) == len(drawn) > 3  # one draw for each layer and noise level
        seen.append(set(drawn))
    assert seen[0] == seen[1]


# --- Latents are enlarged without the VAE


class CountingVae:
    """The demo model's VAE. encoded: how often it has encoded."""

    def __init__(self):
        self.encoded, self._vae = 0, demo_checkpoint()[2]

    def __getattr__(self, name):
        return getattr(self._vae, name)

    def encode(self, pixels):
        self.encoded += 1
        return self._vae.encode(pixels)


def test_a_cascade_of_latents_equals_the_stock_graph_bit_for_bit(monkeypatch):
    vae = CountingVae()
    positive, negative, empty = text_to_video(frames=2)
    model = patched("VideoCrafter2")
    run = (SEED, STEPS, CFG, "euler", "ddim_uniform")
    result = FreeScaleCascade.execute(model, positive, negative, vae, *run, 2.0, latent=empty)
    latent, image, stages = result.result
    base = host_nodes.KSampler().sample(model, *run, positive, negative, empty)[0]
    start = host_nodes.LatentUpscale().upscale(base, "bicubic", *LARGE, "disabled")[0]
    run = (SEED + 1, *run[1:])
    expected = host_nodes.KSamplerAdvanced().sample(
        model, "enable", *run, positive, negative, start, FIRST, 10000, "disable"
    )[0]
    assert torch.equal(latent["samples"], expected["samples"])
    assert torch.equal(image, decode(vae, expected["samples"], "auto"))
    assert [tuple(stage.shape) for stage in stages] == [(2, BASE[1], BASE[0], 3), (2, LARGE[1], LARGE[0], 3)]
    assert vae.encoded == 0
    assert len(result.ui.values) == 2  # a frame of each stage


FIRST = 1
"""The first of four steps with t up to 700: 751, 501, 251, 1 are the timesteps."""


def latent_cascade(vae, factor, frames=1, **more):
    """What FreeScale Cascade gives of a tiny VideoCrafter2, sampled anew."""
    KEPT.clear()
    positive, negative, empty = text_to_video(frames=frames)
    run = (SEED, 2, CFG, "euler", "ddim_uniform", factor)
    model = patched("VideoCrafter2")
    return FreeScaleCascade.execute(model, positive, negative, vae, *run, latent=empty, **more).result


@pytest.mark.parametrize("fails", [{BASE[0]}, {2 * BASE[0]}])
def test_a_cascade_of_latents_goes_on_when_memory_runs_out_while_a_stage_is_decoded_for_looking(
    monkeypatch, caplog, fails
):
    vae, real = demo_checkpoint()[2], cascade_run.decode
    expected, _, all_stages = latent_cascade(vae, 4.0)

    def decode_some(vae, samples, tiling):
        if 8 * samples.shape[-1] in fails:
            raise torch.cuda.OutOfMemoryError("injected")
        return real(vae, samples, tiling)

    monkeypatch.setattr(cascade_run, "decode", decode_some)
    latent, image, stages = latent_cascade(vae, 4.0)
    assert torch.equal(latent["samples"], expected["samples"])
    left = [stage for stage in all_stages if stage.shape[2] not in fails]
    assert len(left) == 3 - len(fails) == len(stages)
    assert all(torch.equal(got, stage) for got, stage in zip(stages, left, strict=True))
    assert torch.equal(image, all_stages[-1])
    assert caplog.text.count("so it is not shown; the cascade goes on with its latent") == len(fails)


@pytest.mark.parametrize("vae", [None, type("VaeOfACheckpoint", (), {"first_stage_model": None})()])
def test_a_cascade_of_latents_needs_no_vae_and_tells_nodes_behind_its_images(vae):
    expected = latent_cascade(demo_checkpoint()[2], 2.0)[0]
    latent, image, stages = latent_cascade(vae, 2.0)
    assert torch.equal(latent["samples"], expected["samples"])
    assert image is stages[0] and len(stages) == 1
    assert "decode its latent with VAE Decode" in image.message
    of_images = CascadePlan(BASE_SIZE, (Size(2 * BASE[1], 2 * BASE[0]),))
    with pytest.raises(ValueError, match="expects a VAE, got none"):
        latent_cascade(vae, 2.0, plan=of_images)


def test_an_upscaled_latent_is_the_hosts_own_and_keeps_its_mask():
    vae = CountingVae()
    latent = {"samples": torch.randn(3, 4, 8, 16), "noise_mask": torch.ones(1, 64, 128)}
    upscaled = FreeScaleUpscale.execute(vae, 2.0, 0, 0, "latent bicubic", "auto", samples=latent).result[0]
    expected = host_nodes.LatentUpscaleBy().upscale(latent, "bicubic", 2.0)[0]
    assert torch.equal(upscaled["samples"], expected["samples"])
    assert upscaled["noise_mask"] is latent["noise_mask"]
    assert vae.encoded == 0
    image = torch.rand(2, 64, 128, 3)
    from_image = FreeScaleUpscale.execute(vae, 2.0, 0, 0, "latent bicubic", "off", image=image).result[0]
    expected = host_nodes.LatentUpscaleBy().upscale({"samples": vae.encode(image)}, "bicubic", 2.0)[0]
    assert torch.equal(from_image["samples"], expected["samples"])
    with pytest.raises(ValueError, match="expects a method for images beside an upscale model, got latent"):
        FreeScaleUpscale.execute(
            vae, 2.0, 0, 0, "latent bicubic", "off", samples=latent, upscale_model=object()
        )


def test_the_node_shows_one_frame_of_a_video(monkeypatch):
    assert frames_are_a_batch(videocrafter()) and frames_are_a_batch(stable_video_diffusion())
    assert not frames_are_a_batch(demo_checkpoint()[0])
    assert cascade_node.SHOWN_PER_STAGE == 4
