"""Rotary positions beside other features of ComfyUI, on tiny random transformers: all keep their effect."""

import comfy.ops
import comfy.sample
import comfy.samplers
import pytest
import torch
from comfy.controlnet import ControlBase
from comfy_extras.nodes_torch_compile import TorchCompileModel
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.settings import FreeScaleSettings, RopeSettings
from freescale_pack.nodes.patching import outer_sample
from freescale_pack.nodes.patching.model import with_settings
from freescale_pack.nodes.patching.rope import OVERRIDE_KEY

from tools.harness.golden_cases import relative_error
from tools.harness.tiny_transformers import latent, prompt, tiny_transformer

BASE = Size(64, 96)
LIMITS = {"tile": Size(3, 4), "threshold": Size(1, 1), "max_relative": Size(3, 5)}
ROPES = {
    "ntk": RopeSettings("ntk", temperature=1.2),
    "rectified": RopeSettings("rectified", temperature=1.2, **LIMITS),
}
EFFECT, ROUNDING = 1e-3, 1e-5
"""Of a feature at the least, and of another order of sums at the most; relative."""
FAMILY = pytest.mark.parametrize("family", ["FLUX", "Wan"])
MODE = pytest.mark.parametrize("mode", ROPES)


def with_rope(model, mode):
    return with_settings(
        model, FreeScaleSettings(base=BASE, fusion=None, dilation=None, detail=None, rope=ROPES[mode])
    )


def sample(model, x, cfg=1.0, positive=None, negative=None, mask=None):
    noise = comfy.sample.prepare_noise(x, 3)
    texts = positive or prompt(batch=len(x)), negative or prompt(6, batch=len(x))
    run = {"disable_pbar": True, "seed": 3, "start_step": 1, "last_step": 1000, "force_full_denoise": True}
    return comfy.sample.sample(model, noise, 3, cfg, "euler", "simple", *texts, x, noise_mask=mask, **run)


def expect_both_count(model, changed, mode, x, **options):
    """The result with both, after checks that each has an effect beside the other."""
    plain = sample(model, x)
    feature = sample(changed or model, x, **options)
    rope = sample(with_rope(model, mode), x)
    both = sample(with_rope(changed or model, mode), x, **options)
    assert both.isfinite().all()
    for without in (feature, rope, plain):
        assert relative_error(both, without) > EFFECT
    assert torch.equal(sample(model, x), plain)
    return both


def large(family, batch=1):
    return latent(family, 16, 24, batch=batch)


@FAMILY
@MODE
def test_a_lora(family, mode):
    model = tiny_transformer(family)
    network = model.model.diffusion_model
    name, weight = next(
        (name, weight)
        for name, weight in network.named_parameters()
        if weight.ndim == 2 and "block" in name and weight.shape[0] >= 64
    )
    changed = model.clone()
    difference = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)) * weight.std()
    changed.add_patches({f"diffusion_model.{name}": ("diff", (difference,))}, 1.0)
    expect_both_count(model, changed, mode, large(family))


@FAMILY
@MODE
def test_an_attention_of_another_node_gets_every_call(family, mode):
    """As ComfyUI's choice of attention backend and KJNodes' Sage do."""
    model, calls = tiny_transformer(family), []

    def halved(function, q, *args, **kwargs):
        calls.append(q.shape)
        return function(q, *args, **kwargs) * 0.5

    changed = model.clone()
    changed.model_options["transformer_options"][OVERRIDE_KEY] = halved
    expect_both_count(model, changed, mode, large(family))
    sample(changed, large(family))
    calls.clear()
    sample(changed, large(family))
    plain = len(calls)
    calls.clear()
    sample(with_rope(changed, mode), large(family))
    assert len(calls) > 2 * plain if mode == "rectified" else len(calls) == plain


@FAMILY
@MODE
def test_guidance_and_a_negative_prompt(family, mode):
    model, x = tiny_transformer(family), large(family)
    patched = with_rope(model, mode)
    guided = expect_both_count(model, None, mode, x, cfg=3.0)
    assert relative_error(sample(patched, x, cfg=3.0, negative=prompt(7)), guided) > EFFECT


@FAMILY
@MODE
def test_cond_and_uncond_apart_give_what_they_give_in_one_batch(family, mode, monkeypatch):
    model, x = with_rope(tiny_transformer(family), mode), large(family)
    together = sample(model, x, cfg=3.0)
    monkeypatch.setattr(type(model.model), "memory_required", lambda self, shape, **kwargs: 1e18 * shape[0])
    sizes = []

    def noted(apply, args):
        sizes.append(len(args["input"]))
        return apply(args["input"], args["timestep"], **args["c"])

    model.set_model_unet_function_wrapper(noted)
    assert relative_error(sample(model, x, cfg=3.0), together) < ROUNDING
    assert set(sizes) == {1}


@FAMILY
@MODE
def test_a_noise_mask_keeps_what_it_covers(family, mode):
    model, x = with_rope(tiny_transformer(family), mode), large(family)
    mask = torch.zeros(1, 1, 16, 24)
    mask[..., :12] = 1
    kept = sample(model, x, mask=mask)
    assert relative_error(kept[..., 12:], x[..., 12:]) < ROUNDING
    assert relative_error(kept[..., :12], x[..., :12]) > EFFECT
    assert relative_error(kept[..., :12], sample(model, x)[..., :12]) > EFFECT


@MODE
def test_a_reference_latent_of_kontext(mode):
    model, x = tiny_transformer("FLUX"), large("FLUX")
    (text, options), *_ = prompt()
    reference = [[text, {**options, "reference_latents": [latent("FLUX", 8, 12, seed=9)]}]]
    expect_both_count(model, None, mode, x, positive=reference)


@MODE
def test_a_control_net_of_flux(mode):
    """A stand-in that says what a ControlNet says: residuals of the double blocks."""
    model, x = tiny_transformer("FLUX"), large("FLUX")

    class Control(ControlBase):
        def get_control(self, x_noisy, *args):
            tokens = x_noisy.shape[-2] * x_noisy.shape[-1] // 4
            added = torch.randn(1, tokens, 64, generator=torch.Generator().manual_seed(4))
            return {"input": [added.expand(len(x_noisy), -1, -1)], "output": []}

    (text, options), *_ = prompt()
    expect_both_count(model, None, mode, x, positive=[[text, {**options, "control": Control()}]])


@FAMILY
@MODE
def test_fp8_weights(family, mode):
    """ComfyUI's layers cast them where they use them, as it does GGUF's."""
    x, dtype = large(family), torch.float8_e4m3fn
    stored, rounded = tiny_transformer(family, operations=comfy.ops.manual_cast), tiny_transformer(family)
    weights = rounded.model.diffusion_model.state_dict()
    for name, weight in stored.model.diffusion_model.named_parameters():
        if weight.ndim == 2 and "block" in name:
            weight.data = weight.data.to(dtype)
            weights[name].copy_(weight.data.to(torch.float32))
    both = expect_both_count(tiny_transformer(family), stored, mode, x)
    assert any(weight.dtype == dtype for weight in stored.model.diffusion_model.parameters())
    assert relative_error(both, sample(with_rope(rounded, mode), x)) < ROUNDING


@FAMILY
@MODE
def test_a_compiled_model_gives_what_it_gives_uncompiled(family, mode):
    model, x = tiny_transformer(family), large(family)
    (compiled,) = TorchCompileModel.execute(model, "inductor").result
    assert torch.equal(sample(with_rope(compiled, mode), x), sample(with_rope(model, mode), x))


@FAMILY
def test_little_memory_changes_nothing_but_how_many_heads_go_at_once(family, monkeypatch):
    model, x, heads = with_rope(tiny_transformer(family), "rectified"), large(family), set()

    def noted(function, q, k, v, heads_at_once=None, **kwargs):
        at_once = kwargs["heads"] if heads_at_once is None else heads_at_once
        if q.shape[-2] < k.shape[-2]:  # A tile, and no cross-attention.
            heads.add(at_once)
        return function(q, k, v, **{"heads": at_once, **kwargs})

    model.model_options["transformer_options"][OVERRIDE_KEY] = noted
    whole = sample(model, x)
    assert heads == {2}
    heads.clear()
    monkeypatch.setattr(outer_sample, "free_memory_of", lambda patcher: lambda device: 0.0)
    assert relative_error(sample(model, x), whole) < ROUNDING
    assert heads == {1}
