"""Rotary positions beside other features of ComfyUI, on tiny random transformers: all keep their effect."""

import threading

import comfy.ops
import comfy.sample
import pytest
import torch
from comfy.controlnet import ControlBase
from comfy.model_patcher import ModelPatcher
from comfy_extras.nodes_torch_compile import TorchCompileModel
from freescale_pack.nodes.patching import outer_sample

from tools.harness.golden_cases import relative_error
from tools.harness.tiny_transformers import latent, prompt, tiny_transformer

from .composition_features import on_two_devices
from .rope_runs import (
    EFFECT,
    FAMILY,
    MODE,
    ROUNDING,
    expect_both_count,
    large,
    sample,
    with_override,
    with_rope,
)


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
def test_guidance_and_a_negative_prompt(family, mode):
    model, x = tiny_transformer(family), large(family)
    patched = with_rope(model, mode)
    guided = expect_both_count(model, None, mode, x, cfg=3.0)
    assert relative_error(sample(patched, x, cfg=3.0, negative=prompt(7)), guided) > EFFECT


def one_at_a_time(model, monkeypatch):
    """ComfyUI sees room for one cond at a time."""
    monkeypatch.setattr(type(model.model), "memory_required", lambda self, shape, **kwargs: 1e18 * shape[0])
    return model


def on_two_threads(model, monkeypatch):
    """As core's MultiGPU CFG Split does it; every device has a network of its own."""
    return on_two_devices(model)


SPLITS = [one_at_a_time, *([on_two_threads] if hasattr(ModelPatcher, "deepclone_multigpu") else [])]


@FAMILY
@MODE
@pytest.mark.parametrize("split", SPLITS)
def test_cond_and_uncond_apart_give_what_they_give_in_one_batch(family, mode, split, monkeypatch):
    model, x, calls = tiny_transformer(family), large(family), []
    model.cached_patcher_init = (tiny_transformer, (family,))
    together = sample(with_rope(model, mode), x, cfg=3.0)
    apart = with_rope(split(model, monkeypatch), mode)

    def noted(apply, args):
        calls.append((len(args["input"]), threading.get_ident()))
        return apply(args["input"], args["timestep"], **args["c"])

    apart.set_model_unet_function_wrapper(noted)
    assert relative_error(sample(apart, x, cfg=3.0), together) < ROUNDING
    assert {size for size, _ in calls} == {1}
    assert len({thread for _, thread in calls}) == (2 if split is on_two_threads else 1)


@FAMILY
@MODE
def test_a_batch_equals_its_images_one_by_one(family, mode):
    model, x = with_rope(tiny_transformer(family), mode), large(family, batch=2)
    noise, texts = comfy.sample.prepare_noise(x, 3), {"positive": prompt(), "negative": prompt(6)}
    both = sample(model, x, cfg=3.0, noise=noise, **texts)
    assert relative_error(both[0], both[1]) > EFFECT
    for one in (0, 1):
        alone = sample(model, x[one : one + 1], cfg=3.0, noise=noise[one : one + 1], **texts)
        assert relative_error(both[one : one + 1], alone) < ROUNDING


@FAMILY
@MODE
def test_a_prompt_in_a_mask(family, mode):
    """ComfyUI's Conditioning (Set Mask): a call of its own, whose result counts in the mask."""
    model, x = tiny_transformer(family), large(family)
    mask = torch.zeros(1, 128, 192)
    mask[..., :96] = 1
    (text, options), *_ = prompt(8)
    masked = [*prompt(), [text, {**options, "mask": mask, "mask_strength": 1.0}]]
    both = expect_both_count(model, None, mode, x, positive=masked)
    rope = sample(with_rope(model, mode), x)
    assert relative_error(both[..., :12], rope[..., :12]) > EFFECT


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


class PackedOperations(comfy.ops.disable_weight_init):
    """Layers of GGUF's kind: a weight of two dimensions is stored in 16 levels and unpacked at each call."""

    class Linear(comfy.ops.disable_weight_init.Linear):
        packed = None

        def pack(self):
            """Keep levels and a scale for each row, and no weight that could be used as it is."""
            self.scale = self.weight.data.abs().amax(1, keepdim=True) / 7.5
            self.packed = (self.weight.data / self.scale + 7.5).round().to(torch.uint8)
            self.weight = None

        def unpacked(self):
            return (self.packed.float() - 7.5) * self.scale

        def forward(self, x):
            if self.packed is None:
                return super().forward(x)
            return torch.nn.functional.linear(x, self.unpacked(), self.bias)


@FAMILY
@MODE
def test_weights_that_are_unpacked_at_each_call(family, mode):
    x = large(family)
    stored, rounded = tiny_transformer(family, operations=PackedOperations), tiny_transformer(family)
    modules = stored.model.diffusion_model.named_modules()
    layers = {name: layer for name, layer in modules if "block" in name and hasattr(layer, "pack")}
    for name, layer in layers.items():
        layer.pack()
        rounded.model.diffusion_model.get_submodule(name).weight.copy_(layer.unpacked())
    assert len(layers) > 8
    both = expect_both_count(tiny_transformer(family), stored, mode, x)
    assert relative_error(both, sample(with_rope(rounded, mode), x)) < ROUNDING


@FAMILY
@MODE
def test_a_compiled_model_gives_what_it_gives_uncompiled(family, mode):
    model, x = tiny_transformer(family), large(family)
    (compiled,) = TorchCompileModel.execute(model, "inductor").result
    assert torch.equal(sample(with_rope(compiled, mode), x), sample(with_rope(model, mode), x))


@FAMILY
def test_little_memory_changes_nothing_but_how_many_heads_go_at_once(family, monkeypatch):
    x, heads = large(family), set()

    def noted(function, q, k, v, heads_at_once=None, **kwargs):
        at_once = kwargs["heads"] if heads_at_once is None else heads_at_once
        if q.shape[-2] < k.shape[-2]:  # A tile, and no cross-attention.
            heads.add(at_once)
        return function(q, k, v, **{"heads": at_once, **kwargs})

    model = with_rope(with_override(tiny_transformer(family), noted), "rectified")
    whole = sample(model, x)
    assert heads == {2}
    heads.clear()
    monkeypatch.setattr(outer_sample, "free_memory_of", lambda patcher: lambda device: 0.0)
    assert relative_error(sample(model, x), whole) < ROUNDING
    assert heads == {1}
