"""Checks of the composition table: formulas of other nodes recomputed, layers of the UNet watched."""

from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache
from unittest import mock

import comfy.samplers
import numpy as np
import torch
from comfy_extras import nodes_sag
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.settings import (
    DetailSettings,
    DilationSettings,
    FreeScaleSettings,
    FusionSettings,
)
from freescale_pack.nodes.patching.model import with_settings

from tools.harness.demo_checkpoint import conditioning

from .composition_features import CFG, gligen, sdxl, text_setup

SETTINGS = FreeScaleSettings(
    base=Size(64, 64), fusion=FusionSettings(), dilation=DilationSettings(), detail=DetailSettings(1.0)
)
PARTS = ("fusion", "dilation", "detail")
SAME, DIFFERENT = 1e-5, 1e-3
"""Relative differences of two pictures. Rounding stays below SAME, every effect is above DIFFERENT."""


def freescale(setup, **parts):
    """Put FreeScale on the setup's MODEL; parts: settings other than SETTINGS."""
    return setup.on(with_settings(setup.model, replace(SETTINGS, **parts)))


def difference(got, expected):
    return float((got - expected).norm() / expected.norm())


def all_of(*checks):
    """One check that makes several."""

    def check(setup):
        for each in checks:
            each(setup)

    return check


def at_no_strength(build):
    """A check: with the feature at a strength that changes nothing, the picture is FreeScale's own."""

    def check(setup):
        plain = text_setup(sdxl())
        assert difference(freescale(build(plain)).sample(), freescale(plain).sample()) < SAME

    return check


# Guidance


def one_step(setup):
    """Sample one step with FreeScale, whose picture is what the guider makes of the model's predictions.

    Returns the noisy latents given to the model, its predictions for all conds, and the guider's result.
    """
    inputs, predictions, original = [], [], comfy.samplers.calc_cond_batch

    def recorded(model, conds, x, *args):
        inputs.append(x.clone())
        out = original(model, conds, x, *args)
        predictions.extend(prediction.clone() for prediction in out)
        return out

    with mock.patch.object(comfy.samplers, "calc_cond_batch", recorded):
        picture = freescale(replace(setup, steps=1)).sample()
    return inputs, predictions, setup.model.model.process_latent_in(picture)


@cache
def predicted_by_freescale_alone(text):
    return one_step(replace(text_setup(sdxl()), positive=conditioning(text)))[1][0]


def guided_by(formula, *texts):
    """A check: the model predicts for each of the texts what it predicts with FreeScale alone, and the
    picture is formula(inputs, *predictions). Predictions beyond those for the texts are the guidance's own.
    """

    def check(setup):
        inputs, predictions, got = one_step(setup)
        for text, prediction in zip(texts, predictions, strict=False):
            assert difference(prediction, predicted_by_freescale_alone(text)) < SAME
        assert difference(got, formula(inputs, *predictions)) < SAME

    return check


def plain_cfg(positive, negative):
    return negative + CFG * (positive - negative)


def pag_formula(scale):
    def formula(inputs, positive, negative, perturbed):
        return plain_cfg(positive, negative) + scale * (positive - perturbed)

    return formula


def sag_formula(scale):
    """The second input is the first one, its prediction for the negative prompt blurred."""

    def formula(inputs, positive, negative, guide):
        blurred = negative + inputs[1] - inputs[0]
        return plain_cfg(positive, negative) + scale * (blurred - guide)

    return formula


def rescaled_cfg(multiplier):
    """Guidance on v, shrunk towards the standard deviation of the positive prompt's v."""

    def formula(inputs, positive, negative):
        sigma = float(sdxl().get_model_object("model_sampling").sigma(torch.tensor([700.0])))
        root = (sigma**2 + 1) ** 0.5
        x = inputs[0] / root**2
        v_positive, v_negative = ((x - denoised) * root / sigma for denoised in (positive, negative))
        v = plain_cfg(v_positive, v_negative)
        shrunk = v * v_positive.std() / v.std()
        return x - (multiplier * shrunk + (1 - multiplier) * v) * sigma / root

    return formula


def perp_neg_formula(cfg, neg_scale):
    """Of the negative direction only what is perpendicular to the positive one is taken away."""

    def formula(inputs, positive, negative, empty):
        towards, away = positive - empty, negative - empty
        perpendicular = away - (away * towards).sum() / (towards * towards).sum() * towards
        return empty + cfg * (towards - neg_scale * perpendicular)

    return formula


def dual_formula(cfg_conds, cfg_negative):
    def formula(inputs, negative, middle, positive):
        return negative + cfg_negative * (middle - negative) + cfg_conds * (positive - middle)

    return formula


# Layers


@contextmanager
def watched(unet, at):
    """Hook all layers of `unet` whose names end so, as long as the context lasts.

    at: {name ending: register(name, module) -> handle}.
    """
    with ExitStack() as stack:
        for name, module in unet.named_modules():
            for ending, register in at.items():
                if name.endswith(ending):
                    stack.callback(register(name, module).remove)
        yield


def self_attentions(setup):
    """Sample with FreeScale.

    Returns (layer, values, what enters the output projection) of each self-attention.

    Fused attention enters as [global; local], stacked on the batch axis.
    """
    values, seen = {}, []

    def to_v(name, module):
        layer = name.rsplit(".", 1)[0]
        return module.register_forward_hook(lambda _, args, out: values.update({layer: out.clone()}))

    def to_out(name, module):
        layer = name.rsplit(".", 2)[0]

        def hook(_, args):
            seen.append((layer, values[layer], args[0].clone()))

        return module.register_forward_pre_hook(hook)

    with watched(setup.model.model.diffusion_model, {".attn1.to_v": to_v, ".attn1.to_out.0": to_out}):
        freescale(setup).sample()
    return seen


def is_fused(values, result):
    """True for [global; local] that differ."""
    if result.shape[:2] != (2 * len(values), values.shape[1]):
        return False
    whole, windows = result.chunk(2)
    return difference(windows, whole) > DIFFERENT


def perturbed_in_the_middle_alone(setup):
    """PAG's own pass (one cond) copies the values in the middle block; everything else is fused."""
    seen = self_attentions(setup)
    perturbed = [(v, out) for layer, v, out in seen if layer.startswith("middle_block") and len(v) == 1]
    others = [(v, out) for layer, v, out in seen if not (layer.startswith("middle_block") and len(v) == 1)]
    assert perturbed
    assert all(torch.equal(out, v) for v, out in perturbed)
    assert all(is_fused(v, out) for v, out in others)


def scores_of_whole_pictures(setup):
    """SAG reads the scores of the whole middle block, not of a window. Both passes of a step are fused."""
    sizes, original = [], nodes_sag.create_blur_map

    def recorded(x0, attention, *args, **kwargs):
        sizes.append(tuple(attention.shape[1:]))
        return original(x0, attention, *args, **kwargs)

    with mock.patch.object(nodes_sag, "create_blur_map", recorded):
        seen = self_attentions(setup)
    assert sizes == [(16, 16)] * setup.steps
    assert Counter(len(v) for _, v, _ in seen) == {2: len(seen) // 2, 1: len(seen) // 2}
    assert all(is_fused(v, out) for _, v, out in seen)


def foreign_tokens(batch, tokens):
    """A check: in the layers whose tokens the other node changes, its `tokens` reach attention in a batch of
    `batch`, not fused; in all other layers attention is fused.
    """

    def check(setup):
        changed = {layer for layer, v, out in self_attentions(setup) if out.shape[:2] == (batch, tokens)}
        fused = {layer for layer, v, out in self_attentions(setup) if is_fused(v, out)}
        layers = {layer for layer, _, _ in self_attentions(setup)}
        assert changed and fused
        assert changed | fused == layers and not changed & fused

    return check


def windows_drawn(setup):
    """Sample with FreeScale. Returns how often windows were drawn, by (kind of block, token grid, window)."""
    drawn = Counter()

    def draw(sigma, block, windows):
        drawn[block[0], windows.grid, windows.clipped] += 1
        return windows.draw(np.random.default_rng(0))

    freescale(setup, fusion=FusionSettings(draw_windows=draw)).sample()
    return drawn


def shrunk_by(factor):
    """A check: in the down and middle blocks, fusion has every grid and window `factor` times smaller."""

    def check(setup):
        def smaller(size):
            return Size(size.height // factor, size.width // factor)

        alone, drawn = windows_drawn(text_setup(sdxl())), windows_drawn(setup)
        expected = Counter()
        for (block, grid, window), count in alone.items():
            expected[block, smaller(grid), smaller(window)] += count
        for block in ("input", "middle"):
            assert of_block(drawn, block) == of_block(expected, block) != {}
        up = {grid for block, grid, _ in drawn if block == "output"}
        assert max(up) == max(grid for block, grid, _ in alone if block == "output")

    return check


def of_block(drawn, block):
    return {key: count for key, count in drawn.items() if key[0] == block}


def gates_see_fused_tokens(setup):
    """GLIGEN's gates get whole pictures, one cond at a time, in every transformer.

    Closed, they change nothing.
    """
    gates, sizes = gligen().model.module_list, Counter()
    layers = Counter(v.shape[1] for _, v, _ in self_attentions(text_setup(sdxl())))
    with watched(gates, {"attn": lambda _, module: module.register_forward_hook(count_tokens(sizes))}):
        seen = self_attentions(setup)
    boxes = 30
    assert sizes == {(1, tokens + boxes): 2 * n for tokens, n in layers.items()}
    assert all(is_fused(v, out) for _, v, out in seen)

    with ExitStack() as stack:
        for gate in gates:
            stack.enter_context(mock.patch.object(gate, "scale", 0))
        closed = freescale(setup).sample()
    assert difference(closed, freescale(text_setup(sdxl())).sample()) < SAME


def count_tokens(sizes):
    return lambda _, args, out: sizes.update([tuple(args[0].shape[:2])])


# FreeU


def scaled_by_freeu(backbone, skip, at_the_lowest):
    """A check: FreeU gets one row a cond. Where the mean of the backbone's channels is highest, it multiplies
    their first half by `backbone`, where it is lowest by `at_the_lowest`. The mean of the skip it multiplies
    by `skip`.
    """

    def check(setup):
        before, after = output_blocks_around(setup)
        assert len(before) == len(after) > 0
        for (h, hsp), (new_h, new_hsp) in zip(before, after, strict=True):
            assert len(h) == 2
            half = h.shape[1] // 2
            for extreme, factor in ((torch.argmax, backbone), (torch.argmin, at_the_lowest)):
                places = extreme(h.mean(1).flatten(1), dim=1)
                old, new = (t[:, :half].flatten(2)[range(len(t)), :, places] for t in (h, new_h))
                assert difference(new, factor * old) < SAME
            assert torch.equal(new_h[:, half:], h[:, half:])
            assert difference(new_hsp.mean((2, 3)), skip * hsp.mean((2, 3))) < SAME

    return check


def output_blocks_around(setup):
    """Sample with FreeScale.

    Returns (backbone, skip) of the blocks FreeU acts on, before and after its patch.
    """
    before, after = [], []

    def recorder(into):
        def patch(h, hsp, transformer_options):
            if h.shape[1] == 2 * h_channels:
                into.append((h.clone(), hsp.clone()))
            return h, hsp

        return patch

    model = setup.model.clone()
    h_channels = model.model.model_config.unet_config["model_channels"]
    patches = model.model_options["transformer_options"]["patches"]
    patches["output_block_patch"] = [recorder(before), *patches["output_block_patch"], recorder(after)]
    freescale(setup.on(model)).sample()
    return before, after
