"""What a patched MODEL does at the base size, above it, and what it leaves behind."""

import dataclasses

import comfy.model_management
import comfy.sample
import comfy.samplers
import pytest
import torch
from comfy.model_patcher import ModelPatcher
from comfy_extras.nodes_hypertile import HyperTile
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.presets import SPEEDS
from freescale_pack.freescale_core.settings import DilationSettings, FusionSettings
from freescale_pack.nodes.model_patch_node import FreeScaleModelPatch
from freescale_pack.nodes.part_nodes import FreeScaleDetailControl, FreeScaleDilatedConv, FreeScaleScaleFusion
from freescale_pack.nodes.patching import outer_sample
from freescale_pack.nodes.patching.memory_budget import MemoryBudget
from freescale_pack.nodes.patching.model import settings_of, with_settings
from freescale_pack.nodes.patching.sampler_run import SamplerRun
from freescale_pack.nodes.patching.scale_fusion import ScaleFusion, output_patch

from tools.harness.demo_checkpoint import conditioning

from .runs import PARTS, fingerprint, sample, settings


@pytest.mark.parametrize("side", [128, 136, 64])
def test_at_the_base_size_every_patch_is_a_bit_exact_no_op(model, side):
    assert torch.equal(sample(with_settings(model, settings(*PARTS)), side), sample(model, side))


@pytest.mark.parametrize("part", PARTS)
def test_each_part_alone_has_an_effect_above_the_base_size(model, part):
    assert not torch.equal(
        sample(with_settings(model, settings(part))), sample(with_settings(model, settings()))
    )


def test_an_empty_latent_and_a_run_without_noise_are_not_blended(model, caplog):
    caplog.set_level("INFO", logger="FreeScale")
    blended, plain = with_settings(model, settings("detail")), with_settings(model, settings())
    empty = torch.zeros(1, 4, 32, 32)
    assert torch.equal(sample(blended, latent=empty, start=0), sample(plain, latent=empty, start=0))
    assert "detail control is off in this run: the latent is empty" in caplog.text
    guider = comfy.samplers.CFGGuider(blended)
    guider.set_conds(conditioning("tiger"), conditioning(""))
    latent = torch.ones(1, 4, 32, 32)
    guider.sample(
        torch.zeros_like(latent),
        latent,
        comfy.samplers.sampler_object("euler"),
        torch.tensor([3.0, 0.0]),
        disable_pbar=True,
    )
    assert "detail control is off in this run: the run adds no noise" in caplog.text


def test_restart_is_logged_and_warned_about_outside_the_usual_range(model, caplog):
    caplog.set_level("INFO", logger="FreeScale")
    sample(with_settings(model, settings("detail")), start=4)
    assert "restart at t = 1" in caplog.text
    assert "outside 550 to 800" in caplog.text


def test_size_conditioning_stays_at_the_base_unless_it_is_explicit(model, monkeypatch):
    seen = []
    original = type(model.model).encode_adm
    monkeypatch.setattr(
        type(model.model),
        "encode_adm",
        lambda self, **kw: (seen.append((kw.get("width"), kw.get("target_height"))), original(self, **kw))[1],
    )
    sample(with_settings(model, settings("fusion")))
    assert set(seen) == {(128, 128)}
    seen.clear()
    explicit = [
        [c[0], {**c[1], "width": 777, "height": 666, "target_width": 777, "target_height": 666}]
        for c in conditioning("tiger")
    ]
    sample(with_settings(model, settings("fusion")), positive=explicit)
    assert set(seen) == {(777, 666), (128, 128)}


class Stop(BaseException):
    """Stands for anything that ends a run: the host's interrupt is an Exception in 0.3.75, a BaseException in
    0.30."""


@pytest.mark.parametrize("error", [Stop, RuntimeError, comfy.model_management.InterruptProcessingException])
@pytest.mark.parametrize("call", [1, 40, 200])
def test_nothing_stays_patched_after_an_error_in_any_layer(model, error, call):
    patched = with_settings(model, settings(*PARTS))
    expected, before = sample(model), fingerprint(model)
    count = iter(range(1, 10**6))

    def fail(module, args):
        if next(count) == call:
            raise error

    hooks = [
        m.register_forward_pre_hook(fail)
        for m in model.model.diffusion_model.modules()
        if not list(m.children())
    ]
    try:
        with pytest.raises(error):
            sample(patched)
    finally:
        for hook in hooks:
            hook.remove()
    assert fingerprint(model) == before
    assert torch.equal(sample(model), expected)


def test_a_run_repeats_to_the_bit_and_two_workflows_do_not_see_each_other(model):
    plain, exact, fast = (
        sample(model),
        *(sample(with_settings(model, s)) for s in (settings(*PARTS), settings("dilation"))),
    )
    for _ in range(2):
        assert torch.equal(sample(model), plain)
        assert torch.equal(sample(with_settings(model, settings(*PARTS))), exact)
        assert torch.equal(sample(with_settings(model, settings("dilation"))), fast)


def test_split_cond_and_uncond_agree_with_one_batch(model, monkeypatch):
    patched = with_settings(model, settings(*PARTS))
    batches = []
    hook = model.model.diffusion_model.register_forward_pre_hook(
        lambda module, args: batches.append(len(args[0]))
    )
    together = sample(patched)
    monkeypatch.setattr(type(model.model), "memory_required", lambda self, *args, **kwargs: 2**60)
    apart = sample(patched)
    hook.remove()
    assert set(batches[:3]) == {2} and set(batches[3:]) == {1} and len(batches) == 9
    assert (apart - together).norm() / together.norm() < 1e-4


def test_our_code_moves_no_global_generator(model):
    patched = with_settings(model, settings(*PARTS))
    noise = torch.randn(1, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    guider = comfy.samplers.CFGGuider(patched)
    guider.set_conds(conditioning("tiger"), conditioning(""))
    state = torch.get_rng_state()
    guider.sample(
        noise,
        noise + 1,
        comfy.samplers.sampler_object("euler"),
        torch.tensor([3.0, 1.0, 0.0]),
        disable_pbar=True,
        seed=1,
    )
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("transformer", [(), (0,)], ids=["block", "one transformer of it, as SAG"])
def test_an_earlier_attention_replace_of_another_node_stays_in_the_chain(model, transformer):
    calls = []

    def foreign(q, k, v, extra_options, **kwargs):
        calls.append(q.shape)
        return v

    other = model.clone()
    other.set_model_attn1_replace(foreign, "middle", 0, *transformer)
    foreign_alone = sample(with_settings(other, settings()))
    for mode in ("exact", "fast"):
        calls.clear()
        with_other = sample(
            with_settings(other, dataclasses.replace(settings(), fusion=FusionSettings(mode)))
        )
        assert set(calls) == {torch.Size([2, 64, 128])}  # whole tokens, never a window or a sub-grid
        assert not torch.equal(
            with_other,
            sample(with_settings(model, dataclasses.replace(settings(), fusion=FusionSettings(mode)))),
        )
        assert not torch.equal(with_other, foreign_alone)


def test_hypertile_with_two_tiles_is_not_taken_for_two_branches(model):
    """Two tiles double the batch as [global; local] does: the 3-D fusion once fused tiles, and crashed at cfg
    1."""
    made = HyperTile.execute(model, 128, 1, 1, False)
    tiled = getattr(made, "result", made)[0]
    wide = torch.randn(1, 4, 16, 32, generator=torch.Generator().manual_seed(1))
    fused = with_settings(tiled, dataclasses.replace(settings("fusion"), base=Size(64, 128)))
    assert sample(fused, latent=wide, cfg=1.0).isfinite().all()

    run = SamplerRun(Size(16, 16), Size(32, 32), 0)
    options = {"activations_shape": (2, 8, 16, 16), "original_shape": (2, 4, 32, 32)}
    tiles = torch.randn(4, 128, 8)
    patch = output_patch(ScaleFusion(run, FusionSettings(), MemoryBudget()))
    assert patch(tiles, options) is tiles
    assert patch(torch.randn(4, 256, 8), options).shape == (2, 256, 8)


def test_nodes_edit_the_settings_that_the_model_patch_made(model):
    patched = FreeScaleModelPatch.execute(model, "SDXL-Turbo", "Balanced", 1.5, 256, 512).result[0]
    patched = FreeScaleScaleFusion.execute(patched, "exact", "2-D (h, w)", 0.8, False, 0.6, 320, 256).result[
        0
    ]
    patched = FreeScaleDilatedConv.execute(patched, 3, 0.4).result[0]
    patched = FreeScaleDetailControl.execute(patched, True, 0.7).result[0]
    got = settings_of(patched)
    assert (got.base, got.base_side, got.restart) == (Size(512, 256), 512, 0.5)
    assert got.fusion == FusionSettings("exact", False, 0.8, False, 0.6, window=Size(32, 40))
    assert got.dilation == DilationSettings(3, 0.4)
    assert got.detail.alpha == 0.7
    off = FreeScaleScaleFusion.execute(patched, "off", "2-D (h, w)", 0.8, False, 0.6, 0, 0).result[0]
    off = FreeScaleDetailControl.execute(
        FreeScaleDilatedConv.execute(off, 1, 0.7).result[0], False, 1.0
    ).result[0]
    assert (settings_of(off).fusion, settings_of(off).dilation, settings_of(off).detail) == (None, None, None)
    assert settings_of(model) is None


@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_neighbourhoods_are_another_local_branch(model, mode):
    choice = {"exact": "neighbourhood", "fast": "fast neighbourhood"}[mode]
    patched = FreeScaleScaleFusion.execute(model, choice, "3-D (h, w, channel)", 1.0, True, 1.0, 0, 0).result[
        0
    ]
    assert settings_of(patched).fusion == FusionSettings(mode, local="neighbourhoods")
    with_windows, with_neighbourhoods = (
        sample(
            with_settings(model, dataclasses.replace(settings(), fusion=FusionSettings(mode, local=local)))
        )
        for local in ("windows", "neighbourhoods")
    )
    assert not torch.equal(with_windows, with_neighbourhoods)


def test_a_speed_chooses_both_branches_and_the_most_steps(model):
    got = {
        speed: settings_of(FreeScaleModelPatch.execute(model, "Auto", speed, 2.0, 128, 128).result[0])
        for speed in SPEEDS
    }
    assert [(name, settings.fusion) for name, settings in got.items()] == [
        ("Exact", FusionSettings()),
        ("Balanced", FusionSettings("fast")),
        ("Fast", FusionSettings("fast", local="neighbourhoods")),
    ]
    assert [settings.max_later_steps for settings in got.values()] == [None, None, 15]


def test_a_part_node_alone_switches_on_only_its_part(model):
    got = settings_of(FreeScaleDilatedConv.execute(model, 0, 0.7).result[0])
    assert (got.fusion, got.detail, got.dilation, got.base_side) == (None, None, DilationSettings(), 1024)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("Custom", "Exact", 2.0, 0, 0), "preset Custom expects a base size, got 0x0"),
        (("Auto", "Exact", 2.0, 256, 0), "both sides of the base size or neither, got 256x0"),
        (("Dreamy", "Exact", 2.0, 0, 0), "expects one of Auto, SDXL, .*got Dreamy"),
        (("Auto", "Ludicrous", 2.0, 0, 0), "expects one of Exact, Balanced, Fast, got Ludicrous"),
    ],
)
def test_wrong_values_are_refused_in_one_sentence(model, values, message):
    with pytest.raises(ValueError, match=message):
        FreeScaleModelPatch.execute(model, *values)


def test_a_model_without_a_unet_is_refused_by_name():
    class Transformer(torch.nn.Module):
        pass

    class Flux(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.diffusion_model = Transformer()

    other = ModelPatcher(Flux(), torch.device("cpu"), torch.device("cpu"))
    with pytest.raises(ValueError, match="needs a Stable Diffusion UNet .* got Flux with Transformer"):
        FreeScaleModelPatch.execute(other, "Auto", "Exact", 2.0, 0, 0)


@pytest.mark.parametrize(
    ("name", "part", "message"),
    [
        ("attention_blocks", "fusion", "no self-attention blocks: scale fusion has no effect"),
        ("dilation_convs", "dilation", "no convolutions below its last downsampler: dilation has no effect"),
    ],
)
def test_a_unet_without_matching_layers_is_warned_about(model, monkeypatch, caplog, name, part, message):
    monkeypatch.setattr(outer_sample, name, lambda unet: [])
    sample(with_settings(model, settings(part)))
    assert caplog.text.count(message) == 1
