"""What packs outside the core do to attention and to the UNet's call, in their own words, and what FreeScale
makes of it."""

import math
from dataclasses import replace

import pytest
import torch
from comfy.model_management import get_free_memory
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.settings import DilationSettings, FreeScaleSettings, FusionSettings
from freescale_pack.nodes.backbones import attention_call
from freescale_pack.nodes.backbones.attention_call import PREFERRED_KEY, SIGMA_KEY, AttentionCall, CallSigma
from freescale_pack.nodes.patching import scale_fusion
from freescale_pack.nodes.patching.memory_budget import MemoryBudget
from freescale_pack.nodes.patching.model import with_settings
from freescale_pack.nodes.patching.sampler_run import SamplerRun
from freescale_pack.nodes.patching.scale_fusion import FusedAttention, ScaleFusion
from freescale_pack.nodes.region_nodes import FreeScalePromptRegion

from tools.harness.demo_checkpoint import conditioning

from .composition_features import sdxl, text_setup

BASE = Size(64, 64)
FUSED = FreeScaleSettings(base=BASE, fusion=FusionSettings(), dilation=None, detail=None)
FUSED_AND_DILATED = FreeScaleSettings(
    base=BASE, fusion=FusionSettings(), dilation=DilationSettings(), detail=None
)


def warnings(caplog):
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "FreeScale" and record.levelname == "WARNING"
    ]


# --- Packs that run the UNet's layers themselves: DeepCache, Kohya's HiresFix
# ---------------------------------------------


def running_the_unet_itself(model):
    """A function wrapper that does what BaseModel.apply_model does, and never enters it."""

    def own_call(apply_model, args):
        base, x, sigma, c = apply_model.__self__, args["input"], args["timestep"], args["c"]
        seen = base.model_sampling.calculate_input(sigma, x)
        steps = base.model_sampling.timestep(sigma).float()
        out = base.diffusion_model(
            seen, steps, context=c["c_crossattn"], y=c["y"], transformer_options=c["transformer_options"]
        )
        return base.model_sampling.calculate_denoised(sigma, out.float(), x)

    model = model.clone()
    model.set_model_unet_function_wrapper(own_call)
    return model


def test_a_pack_that_runs_the_unet_itself_is_fused_and_told_that_dilation_is_off(caplog):
    plain, fused = (
        text_setup(with_settings(sdxl(), FUSED) if on else sdxl()).sample() for on in (False, True)
    )
    # The pack alone changes nothing.
    assert torch.equal(text_setup(running_the_unet_itself(sdxl())).sample(), plain)
    assert not torch.equal(fused, plain)
    caplog.clear()
    assert torch.equal(text_setup(with_settings(running_the_unet_itself(sdxl()), FUSED)).sample(), fused)
    assert warnings(caplog) == []
    got = text_setup(with_settings(running_the_unet_itself(sdxl()), FUSED_AND_DILATED)).sample()
    assert torch.equal(got, fused)
    assert len(warnings(caplog)) == 1
    assert "another node ran the UNet's layers itself" in warnings(caplog)[0]
    assert "dilated convolutions were off in this run" in warnings(caplog)[0]


def test_without_fusion_the_pack_is_told_so_too(caplog):
    dilated = FreeScaleSettings(base=BASE, fusion=None, dilation=DilationSettings(), detail=None)
    text_setup(with_settings(sdxl(), dilated)).sample()
    assert warnings(caplog) == []
    text_setup(with_settings(running_the_unet_itself(sdxl()), dilated)).sample()
    assert len(warnings(caplog)) == 1
    assert "dilated convolutions were off in this run" in warnings(caplog)[0]


def test_the_noise_level_is_read_from_the_device_once_for_each_call():
    class Counted(torch.Tensor):
        reads = 0

        def __float__(self):
            Counted.reads += 1
            return 3.0

        def __getitem__(self, key):
            return self

        def flatten(self):
            return self

    sigma_of = CallSigma()
    one, two = (torch.ones(1).as_subclass(Counted) for _ in range(2))
    assert [sigma_of({"sigmas": sigmas}) for sigmas in (one, one, one, two, two)] == [3.0] * 5
    assert Counted.reads == 2
    assert sigma_of({"sigmas": one, SIGMA_KEY: 5.0}) == 5.0


# --- Packs that add tokens to self-attention: reference-only, StyleAligned
# -----------------------------------------------


def attended(q, k, v, heads=2):
    """Attention written out."""
    q, k, v = (x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])
    return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)


def stacked(fusion, q, k, v, free=1e9, base=4, **more):
    """[global; local] of one layer with an 8x8 grid of tokens and windows of base x base, by the attention
    patch."""
    run = SamplerRun(Size(base, base), Size(8, 8), 0)
    options = {"n_heads": 2, "block": ("middle", 0), "block_index": 0, SIGMA_KEY: 3.0}
    options |= {"activations_shape": [2, 16, 8, 8], "original_shape": [2, 4, 8, 8]}
    shared = ScaleFusion(run, fusion, MemoryBudget(lambda device: free))
    return FusedAttention(shared, None)(q, k, v, options, **more)


def tokens(count, added=0):
    generator = torch.Generator().manual_seed(count)
    q = torch.randn(2, 64, 16, generator=generator)
    return q, *(torch.randn(2, 64 + added, 16, generator=generator) for _ in range(2))


def of_window(x, top, left):
    return x[:, :64].unflatten(1, (8, 8))[:, top : top + 4, left : left + 4].flatten(1, 2)


@pytest.mark.parametrize("added", [0, 5])
def test_added_tokens_are_attended_by_the_whole_picture_and_by_every_window(added):
    q, k, v = tokens(1, added)
    global_, local = stacked(FusionSettings(jitter=False), q, k, v).chunk(2)
    total, count = torch.zeros(2, 8, 8, 16), torch.zeros(8, 8, 1)
    for top in (0, 2, 4):
        for left in (0, 2, 4):
            keys, values = (torch.cat([of_window(x, top, left), x[:, 64:]], dim=1) for x in (k, v))
            total[:, top : top + 4, left : left + 4] += attended(
                of_window(q, top, left), keys, values
            ).unflatten(1, (4, 4))
            count[top : top + 4, left : left + 4] += 1
    assert torch.allclose(global_, attended(q, k, v), atol=1e-5)
    assert torch.allclose(local, (total / count).flatten(1, 2), atol=1e-5)


@pytest.mark.parametrize(
    ("strides", "rows", "columns"), [(None, 2, 2), (Size(1, 4), 1, 4)], ids=["derived", "of the settings"]
)
def test_added_tokens_are_attended_by_every_sub_grid_too(strides, rows, columns):
    q, k, v = tokens(2, 3)
    global_ = stacked(FusionSettings("fast", strides=strides), q, k, v).chunk(2)[0].unflatten(1, (8, 8))
    for top in range(rows):
        for left in range(columns):
            part = (slice(None), slice(top, None, rows), slice(left, None, columns))
            queries, keys, values = (x[:, :64].unflatten(1, (8, 8))[part].flatten(1, 2) for x in (q, k, v))
            expected = attended(queries, torch.cat([keys, k[:, 64:]], 1), torch.cat([values, v[:, 64:]], 1))
            assert torch.allclose(global_[part].flatten(1, 2), expected, atol=1e-5)


def test_an_entry_for_one_transformer_is_wrapped_too():
    """ComfyUI looks it up first, so it would bypass scale fusion.

    Entries of blocks without self-attention stay as they are.
    """

    def foreign(*args):
        return None

    options = {"patches_replace": {"attn1": {("middle", 0, 1): foreign, ("input", 1, 0): foreign}}}
    run = SamplerRun(Size(8, 8), Size(16, 16), 0)
    scale_fusion.install(options, run, FusionSettings(), [("middle", 0)], get_free_memory)
    replaced = options["patches_replace"]["attn1"]
    assert set(replaced) == {("middle", 0), ("middle", 0, 1), ("input", 1, 0)}
    assert replaced["middle", 0, 1] is not foreign
    assert replaced["input", 1, 0] is foreign


@pytest.mark.parametrize(("base", "branches"), [(8, 1), (7, 2)])
def test_a_call_of_the_base_size_is_an_ordinary_one_whatever_the_windows(base, branches):
    """8 cells over a base of 8 are not fused, 8 over 7 are, with windows that the user has set."""
    assert len(stacked(FusionSettings(window=Size(4, 4)), *tokens(8), base=base)) == 2 * branches


def test_a_window_as_large_as_the_grid_leaves_the_layer_as_it_is():
    """A layer that one window covers has nothing to fuse: one branch, as many rows as the layer has."""
    q, k, v = tokens(4)
    got = stacked(FusionSettings(window=Size(8, 8)), q, k, v)
    assert got.shape == q.shape
    assert torch.allclose(got, attended(q, k, v), atol=1e-5)


def test_attention_from_frame_to_frame_is_left_alone_in_silence(caplog):
    """A video model's temporal layers call the patch with one row for each place: 2 x 64 rows of 3 frames."""
    q = torch.randn(2 * 64, 3, 16, generator=torch.Generator().manual_seed(5))
    assert torch.allclose(stacked(FusionSettings(), q, q, q), attended(q, q, q), atol=1e-5)
    assert warnings(caplog) == []


@pytest.mark.parametrize(("added", "windows", "channels"), [(0, 3, 16), (64, 1, 8)])
def test_added_tokens_count_in_the_memory_that_windows_may_take(monkeypatch, added, windows, channels):
    """Room for four of nine windows with both heads, so three at a time.

    Added tokens make a window five times as large.
    """
    calls, attend = [], AttentionCall.attend

    def noted(self, q, k, v, *args, **kwargs):
        calls.append((len(k) // 2, k.shape[2]))
        return attend(self, q, k, v, *args, **kwargs)

    monkeypatch.setattr(AttentionCall, "attend", noted)
    q, k, v = tokens(6, added)
    one_window = 4 * 16 * q[:, 0].nbytes
    stacked(FusionSettings(), q, k, v, free=4 * (4 if added == 0 else 2) * one_window)
    assert max(calls[-3:]) == (windows, channels)


def with_reference(model):
    """An attn1 patch as reference-only packs set it: keys and values of another picture behind the picture's
    own."""

    def patch(n, context, value, extra_options):
        reference = n.flip(1)[:, :7] * 0.5
        return n, torch.cat([context, reference], dim=1), torch.cat([value, reference], dim=1)

    model = model.clone()
    model.set_model_attn1_patch(patch)
    return model


def test_beside_a_reference_pack_fusion_goes_on_and_the_log_names_it(caplog):
    caplog.set_level("INFO", logger="FreeScale")
    alone, referenced = (
        text_setup(with_settings(m, FUSED)).sample() for m in (sdxl(), with_reference(sdxl()))
    )
    assert (
        caplog.text.count(
            "another node added tokens to self-attention: both branches of scale fusion attend to them, "
            "which takes longer"
        )
        == 1
    )
    assert warnings(caplog) == []
    for other in (alone, text_setup(with_reference(sdxl())).sample()):
        assert (referenced - other).norm() / other.norm() > 1e-3


# --- Packs that mask self-attention, prescribe its kernel, or swap ComfyUI's function
# -------------------------------------


def test_a_mask_of_another_pack_is_kept_and_fusion_is_off_there(caplog):
    q, k, v = tokens(3)
    mask = torch.zeros(64, 64)
    mask[:, 32:] = -math.inf
    got = stacked(FusionSettings(), q, k, v, mask=mask)
    assert torch.allclose(got, attended(q, k[:, :32], v[:, :32]), atol=1e-5)
    assert warnings(caplog) == [
        "FreeScale: another node masks self-attention: scale fusion is off in those layers."
    ]


class Prescribed:
    """Stands for comfy_attention of ComfyUI 0.38 and later: what a checkpoint prescribes for one layer."""

    def __init__(self, function):
        self.function = function


def test_a_layer_keeps_the_kernel_that_its_checkpoint_prescribes():
    seen = set()

    def override(function, q, *args, preferred_attention=None, **kwargs):
        options = kwargs["transformer_options"]
        seen.add((options["block"], options["block_index"], preferred_attention))
        return function(q, *args, **kwargs)

    kernel, nothing = Prescribed(override), Prescribed(None)
    blocks = sdxl().model.diffusion_model.middle_block[1].transformer_blocks
    model = sdxl().clone()
    model.model_options["transformer_options"]["optimized_attention_override"] = override
    try:
        blocks[0].attn1.comfy_attention, blocks[0].attn2.comfy_attention = kernel, nothing
        text_setup(with_settings(model, FUSED)).sample()
    finally:
        del blocks[0].attn1.comfy_attention, blocks[0].attn2.comfy_attention
    assert {(block, index) for block, index, preferred in seen if preferred is kernel} == {(("middle", 0), 0)}
    assert {preferred for _, _, preferred in seen} == {kernel, None}


def test_a_kernel_that_is_prescribed_for_a_text_layer_is_used_beside_a_prompt_region():
    seen = set()

    def override(function, q, k, *args, preferred_attention=None, **kwargs):
        options = kwargs["transformer_options"]
        seen.add((options["block"], options["block_index"], k.shape[1], preferred_attention))
        return function(q, k, *args, **kwargs)

    kernel, text = Prescribed(override), conditioning("blue car")
    regions = FreeScalePromptRegion.execute(text, torch.ones(1, 16, 16), 0.5).result[0]
    attn2 = sdxl().model.diffusion_model.middle_block[1].transformer_blocks[0].attn2
    model = sdxl().clone()
    model.model_options["transformer_options"]["optimized_attention_override"] = override
    try:
        attn2.comfy_attention = kernel
        text_setup(with_settings(model, replace(FUSED, prompt_regions=regions))).sample()
    finally:
        del attn2.comfy_attention
    assert {call[:3] for call in seen if call[3] is kernel} == {(("middle", 0), 0, text[0][0].shape[1])}


def test_a_fused_layer_keeps_its_precision():
    seen = set()

    def override(function, q, *args, attn_precision=None, **kwargs):
        options = kwargs["transformer_options"]
        seen.add((options["block"], options["block_index"], q.shape[1], attn_precision))
        return function(q, *args, attn_precision=attn_precision, **kwargs)

    transformer = sdxl().model.diffusion_model.middle_block[1].transformer_blocks[0]
    model = sdxl().clone()
    model.model_options["transformer_options"]["optimized_attention_override"] = override
    before = transformer.attn_precision
    try:
        transformer.attn_precision = torch.float32
        text_setup(with_settings(model, FUSED)).sample()
    finally:
        transformer.attn_precision = before
    precise = {call[:3] for call in seen if call[3] == torch.float32}
    # All 4x4 tokens of the level, and its windows of 2x2.
    assert precise == {(("middle", 0), 0, 16), (("middle", 0), 0, 4)}


@pytest.mark.parametrize(
    ("layer", "block", "index"), [("attn1", 0, 1), ("attn2", 0, 0), ("attn1", 1, 0), ("attn1", 0, 0)]
)
def test_a_kernel_is_prescribed_for_one_layer_of_one_transformer_of_one_block(layer, block, index):
    seen = []

    def override(function, q, *args, preferred_attention=None, **kwargs):
        seen.append(preferred_attention)
        return function(q, *args, **kwargs)

    kernel = Prescribed(override)
    options = {
        PREFERRED_KEY: {("attn1", ("middle", 0), 0): kernel},
        "optimized_attention_override": override,
        "n_heads": 2,
    }
    call = AttentionCall({**options, "block": ("middle", block), "block_index": index}, layer)
    call.attend(*tokens(7))
    assert seen == [kernel if (layer, block, index) == ("attn1", 0, 0) else None]


def test_an_attention_function_that_another_pack_swaps_in_later_is_used(monkeypatch):
    tokens, original = set(), attention_call.attention.optimized_attention

    def swapped(q, *args, **kwargs):
        tokens.add(q.shape[1])
        return original(q, *args, **kwargs)

    monkeypatch.setattr(attention_call.attention, "optimized_attention", swapped)
    text_setup(with_settings(sdxl(), FUSED)).sample()
    assert {64, 16} <= tokens  # All 8x8 tokens of a level, and its windows of 4x4.
