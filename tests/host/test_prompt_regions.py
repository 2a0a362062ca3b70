"""Prompt regions on the host's real (tiny) UNets: where another text counts, and that nothing else
changes."""

import comfy.model_management
import comfy.samplers
import comfy.sd
import comfy.supported_models
import pytest
import torch
from comfy.ldm.modules.attention import optimized_attention
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy_extras.nodes_custom_sampler import Guider_DualCFG
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.settings import FreeScaleSettings
from freescale_pack.nodes.model_patch_node import FreeScaleModelPatch
from freescale_pack.nodes.patching import prompt_regions
from freescale_pack.nodes.patching.model import settings_of, with_settings
from freescale_pack.nodes.region_nodes import FreeScalePromptRegion

from tools.harness.demo_checkpoint import conditioning, demo_checkpoint
from tools.harness.tiny_unet import tiny_model

from .composition_features import compiled, one_transformer
from .runs import fingerprint

BASE = Size(128, 128)
SDXL_WIDTH, SD15_WIDTH = 64, 48
CLOSE = 1e-5


class TinySD15(comfy.supported_models.SD15):
    unet_config = {
        "context_dim": SD15_WIDTH,
        "model_channels": 32,
        "use_linear_in_transformer": False,
        "adm_in_channels": None,
        "use_temporal_attention": False,
    }
    unet_extra_config = {"num_heads": 4, "num_head_channels": -1}


def tiny_sd15():
    """A random UNet of SD1.5's topology: four levels, convolutional projections, no pooled vector."""
    if TinySD15 not in comfy.supported_models.models:
        comfy.supported_models.models.append(TinySD15)
    depths = {
        "transformer_depth": [1] * 6 + [0] * 2,
        "transformer_depth_output": [1] * 9 + [0] * 3,
        "transformer_depth_middle": 1,
    }
    levels = {"channel_mult": (1, 2, 2, 2), "num_res_blocks": [2] * 4}
    fixed = {
        "image_size": 32,
        "in_channels": 4,
        "out_channels": 4,
        "use_spatial_transformer": True,
        "num_heads": 4,
    }
    unet = UNetModel(
        model_channels=32, context_dim=SD15_WIDTH, dtype=torch.float32, **fixed, **levels, **depths
    )
    generator = torch.Generator().manual_seed(0)
    weights = {
        name: torch.randn(p.shape, generator=generator) * 0.08 for name, p in unet.state_dict().items()
    }
    return comfy.sd.load_diffusion_model_state_dict(weights, model_options={"dtype": torch.float32})


@pytest.fixture(scope="module", params=[tiny_model, tiny_sd15], ids=["SDXL", "SD1.5"])
def model(request):
    return request.param()


@pytest.fixture(scope="module")
def sdxl():
    return tiny_model()


def text(seed, model=None, tokens=77, pooled=None):
    """A random CONDITIONING; its pooled vector comes from the seed, too, unless another seed is named."""
    width = SDXL_WIDTH if model is None else model.model.model_config.unet_config["context_dim"]
    tensors = torch.Generator().manual_seed(seed)
    pooled_output = torch.randn(
        1, 64, generator=torch.Generator().manual_seed(100 + (seed if pooled is None else pooled))
    )
    return [[torch.randn(1, tokens, width, generator=tensors), {"pooled_output": pooled_output}]]


def region(mask, conditioning, strength=1.0, regions=None):
    return FreeScalePromptRegion.execute(conditioning, mask, strength, regions).result[0]


FULL, EMPTY = torch.ones(1, 16, 16), torch.zeros(1, 16, 16)
LEFT = torch.zeros(1, 48, 64)
LEFT[..., :32] = 1


def with_regions(model, regions):
    return with_settings(
        model, FreeScaleSettings(base=BASE, fusion=None, dilation=None, detail=None, prompt_regions=regions)
    )


def run(model, positive, regions=(), batch=1, side=(24, 32), negative=None, guider=None):
    """Two Euler steps at 192 x 256 pixels."""
    if guider is None:
        guider = comfy.samplers.CFGGuider(with_regions(model, regions))
        guider.set_conds(positive, negative or text(9, model))
        guider.set_cfg(3.0)
    latent, noise = torch.randn(2, batch, 4, *side, generator=torch.Generator().manual_seed(1))
    euler = comfy.samplers.sampler_object("euler")
    return guider.sample(noise, latent, euler, torch.tensor([3.0, 1.0, 0.0]), disable_pbar=True, seed=0)


def first_cross_attention(model, *args, **kwargs):
    """What the run's first cross-attention hands to to_out, before anything else can differ: (rows, h, w, c),
    row 0 the last cond."""
    seen = []
    name, layer = next(
        (n, m) for n, m in model.model.diffusion_model.named_modules() if n.endswith("attn2.to_out.0")
    )
    hook = layer.register_forward_pre_hook(lambda module, args: seen.append(args[0].clone()))
    try:
        run(model, *args, **kwargs)
    finally:
        hook.remove()
    height, width = kwargs.get("side", (24, 32))
    down = round((height * width / seen[0].shape[1]) ** 0.5)
    return seen[0].unflatten(1, (-(-height // down), -(-width // down)))


def error(got, expected):
    return float((got - expected).norm() / expected.norm())


@pytest.mark.parametrize(("mask", "strength"), [(EMPTY, 1.0), (FULL, 0.0)])
def test_an_empty_mask_or_strength_0_changes_no_bit(model, caplog, mask, strength):
    caplog.set_level("INFO", logger="FreeScale")
    a, b = text(1, model), text(2, model)
    assert torch.equal(run(model, a, region(mask, b, strength)), run(model, a))
    assert "prompt regions with an empty mask or strength 0 are left out" in caplog.text


@pytest.mark.parametrize("tokens", [77, 154, 1])
def test_a_full_mask_equals_the_other_prompt_with_the_pooled_vector_unchanged(model, tokens):
    other = text(2, model, tokens)
    got = run(model, text(1, model), region(FULL, other))
    assert error(got, run(model, text(2, model, tokens, pooled=1))) < CLOSE
    assert error(got, run(model, text(1, model))) > 100 * CLOSE


def test_the_base_size_changes_no_bit(model):
    a, b = text(1, model), text(2, model)
    assert torch.equal(run(model, a, region(FULL, b), side=(16, 16)), run(model, a, side=(16, 16)))


def test_a_region_acts_inside_its_mask_and_only_for_the_positive_prompt(model):
    a, b = text(1, model), text(2, model)
    got, with_a, with_b = (first_cross_attention(model, *args) for args in ((a, region(LEFT, b)), (a,), (b,)))
    half = got.shape[2] // 2
    assert got.shape[0] == 2  # uncond, cond
    assert error(got[1, :, :half], with_b[1, :, :half]) < CLOSE
    assert error(got[1, :, half:], with_a[1, :, half:]) < CLOSE
    assert error(got[0], with_a[0]) < CLOSE
    assert error(with_a[1], with_b[1]) > 100 * CLOSE


def test_strength_and_soft_masks_mix_and_a_later_region_lies_on_top(sdxl):
    a, b, c = text(1), text(2), text(3)
    with_a, with_b, with_c = (first_cross_attention(sdxl, x)[1] for x in (a, b, c))
    assert (
        error(first_cross_attention(sdxl, a, region(FULL, b, 0.25))[1], with_a * 0.75 + with_b * 0.25) < CLOSE
    )
    assert (
        error(first_cross_attention(sdxl, a, region(FULL * 0.25, b))[1], with_a * 0.75 + with_b * 0.25)
        < CLOSE
    )
    got = first_cross_attention(sdxl, a, region(LEFT, c, 0.5, region(FULL, b)))[1]
    half = got.shape[1] // 2
    assert error(got[:, :half], (with_b * 0.5 + with_c * 0.5)[:, :half]) < CLOSE
    assert error(got[:, half:], with_b[:, half:]) < CLOSE


@pytest.mark.parametrize("side", [(17, 27), (32, 18)])
def test_odd_sizes_take_the_grid_of_the_block(sdxl, side):
    a, b = text(1), text(2)
    got, with_a, with_b = (
        first_cross_attention(sdxl, *args, side=side)[1] for args in ((a, region(LEFT, b)), (a,), (b,))
    )
    assert error(got[:, 0], with_b[:, 0]) < CLOSE
    assert error(got[:, -1], with_a[:, -1]) < CLOSE


def test_a_batch_of_masks_and_texts_goes_to_a_batch_of_latents(sdxl):
    """In row order, starting again where they end: masks full, full, empty and texts 2, 3 for four
    pictures."""
    masks, texts = torch.cat([FULL, FULL, EMPTY]), [[torch.cat([text(2)[0][0], text(3)[0][0]]), {}]]
    got = first_cross_attention(sdxl, text(1), region(masks, texts), batch=4)[4:]
    plain, with_2, with_3 = (first_cross_attention(sdxl, text(seed), batch=4)[4:] for seed in (1, 2, 3))
    for picture, expected in enumerate((with_2, with_3, plain, with_3)):
        assert error(got[picture], expected[picture]) < CLOSE


def test_main_and_negative_prompts_of_unlike_length_leave_the_region_alone(sdxl):
    """The host repeats the shorter of the two; region tokens once counted twice would shift the attention."""
    long = {"negative": text(9, tokens=154)}
    got = run(sdxl, text(1), region(FULL, text(2)), **long)
    assert error(got, run(sdxl, text(2, pooled=1), **long)) < CLOSE


def test_split_cond_and_uncond_agree_with_one_batch(sdxl, monkeypatch):
    together = run(sdxl, text(1), region(LEFT, text(2)))
    monkeypatch.setattr(type(sdxl.model), "memory_required", lambda self, *args, **kwargs: 2**60)
    assert error(run(sdxl, text(1), region(LEFT, text(2))), together) < 1e-4


def adapter(key_kinds, calls):
    """An IPAdapter-like attn2 replace: the text's attention plus a picture's, with tokens of its own."""

    def replace(q, k, v, extra_options):
        calls.append(k.shape[1])
        picture = torch.linspace(-1, 1, 4 * q.shape[2]).view(1, 4, -1).expand(q.shape[0], -1, -1)
        return sum(
            optimized_attention(q, *kv, extra_options["n_heads"]) for kv in ((k, v), (picture, picture))
        )

    def patch(model):
        model = model.clone()
        for name, number in (("input", 4), ("middle", 0), ("output", 1)):
            model.set_model_attn2_replace(replace, name, number, 0 if key_kinds == "transformer" else None)
        return model

    return patch


@pytest.mark.parametrize("key_kinds", ["block", "transformer"])
def test_an_adapter_in_attn2_sees_one_text_at_a_time_and_stays_in_the_region(sdxl, key_kinds):
    calls = []
    adapted = adapter(key_kinds, calls)(sdxl)
    got = run(adapted, text(1), region(FULL, text(2, tokens=154)))
    assert set(calls) == {77, 154}
    assert error(got, run(adapted, text(2, tokens=154, pooled=1))) < CLOSE
    assert error(got, run(sdxl, text(2, tokens=154, pooled=1))) > 100 * CLOSE


def test_an_attn2_patch_of_another_node_sees_the_main_text_alone_and_may_add_tokens(sdxl):
    calls = []

    def add_tokens(n, context, value, extra_options):
        calls.append(context.shape[1])
        return n, torch.cat([context, context[:, :5] * 2], dim=1), torch.cat([value, value[:, :5] * 3], dim=1)

    other = sdxl.clone()
    other.set_model_attn2_patch(add_tokens)
    got, plain = (first_cross_attention(other, text(1), r) for r in (region(LEFT, text(2)), ()))
    inside = first_cross_attention(sdxl, text(2))
    half = got.shape[2] // 2
    assert set(calls) == {77}
    assert error(got[1, :, half:], plain[1, :, half:]) < CLOSE
    assert error(got[1, :, :half], inside[1, :, :half]) < CLOSE


def test_a_guider_with_three_prompts_gets_the_region_in_its_positive_one_only(sdxl):
    """DualCFG numbers its prompts negative 0, middle 1, positive 2; only the positive one's prediction may
    change."""
    seen = []

    def keep(n, context, value, extra_options):
        seen.append(extra_options["uuids"])
        return n, context, value

    def rows(regions):
        watched = with_regions(sdxl, regions)
        watched.set_model_attn2_patch(keep)
        guider = Guider_DualCFG(watched)
        guider.set_conds(text(1), text(4), text(9))
        guider.set_cfg(3.0, 2.0)
        attention = first_cross_attention(sdxl, None, guider=guider)
        return attention, seen[-1], guider.original_conds["positive"][0]["uuid"]

    with_it, uuids, positive = rows(region(FULL, text(2)))
    without, _, _ = rows(())
    assert len(uuids) == 3
    assert [error(a, b) > CLOSE for a, b in zip(with_it, without, strict=True)] == [
        uuid == positive for uuid in uuids
    ]


def test_conditioning_bound_to_an_area_is_left_alone_and_said_so_once(sdxl, caplog):
    corner = [[text(1)[0][0], {**text(1)[0][1], "area": (12, 16, 0, 0), "strength": 1.0}]]
    assert error(run(sdxl, corner, region(FULL, text(2))), run(sdxl, corner)) == 0
    assert (
        caplog.text.count("prompt regions do not act in tiles or in conditioning that is bound to an area")
        == 1
    )


class Stop(BaseException):
    """Any end of a run."""


@pytest.mark.parametrize(
    "stop", [None, Stop, RuntimeError, comfy.model_management.InterruptProcessingException]
)
def test_nothing_stays_behind_after_success_error_and_cancel(sdxl, stop):
    patched, before, expected = (
        with_regions(sdxl, region(LEFT, text(2))),
        fingerprint(sdxl),
        run(sdxl, text(1)),
    )
    guider = comfy.samplers.CFGGuider(patched)
    guider.set_conds(text(1), text(9))
    options, kept = guider.model_options, fingerprint(patched)

    def fail(module, args):
        if stop is not None:
            raise stop

    layer = dict(sdxl.model.diffusion_model.named_modules())[
        "middle_block.1.transformer_blocks.1.attn2.to_out.0"
    ]
    hook = layer.register_forward_pre_hook(fail)
    try:
        if stop is None:
            run(sdxl, None, guider=guider)
        else:
            with pytest.raises(stop):
                run(sdxl, None, guider=guider)
    finally:
        hook.remove()
    assert guider.model_options is options
    assert (fingerprint(sdxl), fingerprint(patched)) == (before, kept)
    assert torch.equal(run(sdxl, text(1)), expected)


def test_a_region_costs_one_more_attention_a_block_and_no_more_rows_in_the_unet(sdxl, monkeypatch):
    unet, calls, rows = sdxl.model.diffusion_model, [], []
    counted = prompt_regions.AttentionCall.attend
    monkeypatch.setattr(
        prompt_regions.AttentionCall, "attend", lambda self, *args: (calls.append(1), counted(self, *args))[1]
    )
    hook = unet.register_forward_pre_hook(lambda module, args: rows.append(len(args[0])))
    run(sdxl, text(1), region(LEFT, text(2)))
    hook.remove()
    blocks = sum(name.endswith("attn2") for name, _ in unet.named_modules())
    assert rows == [2, 2]  # uncond and cond in each of two steps
    assert len(calls) == 2 * 2 * blocks


def test_a_compiled_model_draws_the_same_picture():
    model = one_transformer()
    a, regions = text(1, model), region(LEFT, text(2, model))
    expected = run(model, a, regions)
    assert error(run(compiled(model), a, regions), expected) < CLOSE
    assert error(run(model, a), expected) > 100 * CLOSE


def test_a_chain_that_comes_in_stays_as_it_is():
    first = region(LEFT, text(2))
    second = region(FULL, text(3), 0.5, first)
    assert (len(first), len(second)) == (1, 2)
    assert second[0] is first[0]


def test_a_real_text_reaches_the_model_through_the_nodes():
    model = demo_checkpoint()[0]
    regions = region(LEFT, conditioning("blue car"))
    patched = FreeScaleModelPatch.execute(model, "SDXL", "Exact", 2.0, 256, 256, None, (), regions).result[0]
    assert settings_of(patched).prompt_regions == regions
    assert (
        settings_of(
            FreeScaleModelPatch.execute(model, "SDXL", "Exact", 2.0, 256, 256).result[0]
        ).prompt_regions
        == ()
    )


def test_a_text_of_another_model_is_refused_before_the_run(sdxl):
    with pytest.raises(
        ValueError,
        match="expects a text with 64 channels for this model, got 48: encode it with the CLIP of the same",
    ):
        FreeScaleModelPatch.execute(
            sdxl, "SDXL", "Exact", 2.0, 0, 0, None, (), region(FULL, [[torch.zeros(1, 77, SD15_WIDTH), {}]])
        )


def test_combined_texts_are_refused_and_what_is_no_text_is_ignored_aloud(caplog):
    with pytest.raises(
        ValueError, match=r"expects one text, got 2 combined ones: join them with Conditioning \(Concat\)"
    ):
        region(FULL, text(1) + text(2))
    region(FULL, text(1))
    assert caplog.text == ""
    region(FULL, [[text(1)[0][0], {"pooled_output": None, "width": 1024, "mask": FULL, "control": object()}]])
    assert "takes the text alone and ignores: control, mask." in caplog.text


def test_a_wrong_mask_is_refused_in_one_sentence():
    with pytest.raises(
        ValueError,
        match=r"^FreeScale Prompt Region expects a mask .* got shape \(4,\) of torch.float32: connect",
    ):
        region(torch.zeros(4), text(1))


def test_a_model_without_cross_attention_or_a_guider_without_positive_prompt_is_warned_about(sdxl, caplog):
    guider = comfy.samplers.CFGGuider(with_regions(sdxl, region(FULL, text(2))))
    guider.inner_set_conds({"negative": text(9)})
    guider.predict_noise = lambda x, timestep, model_options, seed: x * 0
    run(sdxl, None, guider=guider)
    assert (
        caplog.text.count(
            "prompt regions have no effect: the model has no cross-attention, or the guider no positive "
            "prompt"
        )
        == 1
    )


@pytest.mark.parametrize(
    ("shape", "block", "acts"),
    [((2, 16), 0, True), ((4, 16), 0, False), ((2, 15), 0, False), ((2, 16), 1, False)],
)
def test_a_region_acts_on_the_rows_and_tokens_of_its_own_blocks_only(shape, block, acts):
    texts = prompt_regions.RegionCache((), Size(8, 8), frozenset({("middle", 0)}), frozenset({"positive"}))
    options = {
        "activations_shape": [2, 8, 4, 4],
        "original_shape": [2, 4, 8, 8],
        "block": ("middle", block),
        "uuids": ["positive", "x"],
    }
    call = prompt_regions.AttentionCall(options, "attn2")
    assert texts.act_in(torch.zeros(*shape, 8), call) == acts
