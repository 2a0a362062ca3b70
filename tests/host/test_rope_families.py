"""Rotary positions of every family of transformers, on tiny random models through ComfyUI's own sampler."""

import comfy.sample
import pytest
import torch
from comfy.ldm.flux.math import apply_rope1, rope
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.rope.positions import rectified_positions
from freescale_pack.freescale_core.settings import FreeScaleSettings, RopeSettings
from freescale_pack.nodes.backbones import transformer
from freescale_pack.nodes.backbones.transformer import embedder_name
from freescale_pack.nodes.patching.model import with_settings
from freescale_pack.nodes.patching.rope import CALL_KEY, OVERRIDE_KEY

from tools.harness.golden_cases import relative_error
from tools.harness.tiny_transformers import FAMILIES, latent, prompt, tiny_transformer

CELL = {"Wan 2.2 5B": 16}
BASE = Size(8, 12)
"""Latent cells: 4 x 6 tokens."""
LIMITS = {"tile": Size(3, 4), "threshold": Size(1, 1), "max_relative": Size(3, 5)}
ALL_FAMILIES = pytest.mark.parametrize("family", FAMILIES)


def settings(family, rope):
    cell = CELL.get(family, 8)
    base = Size(BASE.height * cell, BASE.width * cell)
    return FreeScaleSettings(base=base, fusion=None, dilation=None, detail=None, rope=rope)


def sample(model, x, steps=2, cfg=1.0):
    noise = comfy.sample.prepare_noise(x, 3)
    run = {"disable_pbar": True, "seed": 3, "start_step": 1, "last_step": 1000, "force_full_denoise": True}
    return comfy.sample.sample(model, noise, steps, cfg, "euler", "simple", prompt(), prompt(6), x, **run)


class Seen:
    """An attention override of another node that keeps what it gets, and the tokens' ids."""

    def __init__(self):
        self.calls = []

    def __call__(self, function, q, k, v, heads, *args, **kwargs):
        by_heads = kwargs.get("skip_reshape", False)
        keys = k if by_heads else k.unflatten(-1, (heads, -1)).transpose(1, 2)
        call = kwargs["transformer_options"].get(CALL_KEY)
        self.calls.append((q.shape[2 if by_heads else 1], keys.clone(), call))
        return function(q, k, v, heads, *args, **kwargs)

    def __deepcopy__(self, memo):  # Older releases copy the options of a clone deeply.
        return self

    def on(self, model):
        clone = model.clone()
        clone.model_options["transformer_options"][OVERRIDE_KEY] = self
        return clone


def first_call(seen, tokens):
    """Keys of the first self-attention over `tokens` tokens: one tensor for each of its calls."""
    start = next(n for n, (_, keys, _) in enumerate(seen.calls) if keys.shape[2] == tokens)
    found, queries = [], 0
    for count, keys, call in seen.calls[start:]:
        found.append(keys)
        queries += count
        if queries == tokens:
            return found, call
    raise AssertionError("The tiles do not cover the queries.")


UNREFINED = {"n_refiner_layers": 0}
"""Then Lumina's first layer attends over text and image, and not over the image alone."""


@pytest.mark.parametrize(
    ("family", "changes"),
    [*((family, {}) for family in FAMILIES), ("Lumina 2", UNREFINED), ("Z-Image", UNREFINED)],
)
def test_a_turned_key_is_the_key_embedded_at_its_rectified_position(family, changes):
    model, x = tiny_transformer(family, **changes), latent(family, 16, 22)
    rectified = RopeSettings("rectified", **LIMITS)
    plain, tiled = Seen(), Seen()
    # NTK by 1 at temperature 1 notes the ids and changes nothing.
    sample(with_settings(plain.on(model), settings(family, RopeSettings("ntk", 1.0, temperature=1.0))), x)
    sample(with_settings(tiled.on(model), settings(family, rectified)), x)
    tokens = next(k.shape[2] for _, k, call in tiled.calls if call.places(k.shape[2]) is not None)
    [keys], call = first_call(plain, tokens)
    turned, _ = first_call(tiled, tokens)
    ids = torch.cat([torch.from_numpy(ids) for ids in call.noted._ids])[-tokens:]
    places = call.places(tokens)
    rows, columns, grid = places.rows, places.columns, places.grid
    assert grid == Size(8, 11)
    network = model.model.diffusion_model
    embedder = getattr(network, embedder_name(network))
    back = embedder(-ids[None])
    raw = apply_rope1(keys, back)
    n, moved = 0, 0
    for top in range(0, grid.height, 3):
        for left in range(0, grid.width, 4):
            ends = min(top + 3, grid.height) - 1, min(left + 4, grid.width) - 1
            y = rectified_positions(grid.height, top, ends[0], 3, 1) - torch.arange(grid.height)
            x_ = rectified_positions(grid.width, left, ends[1], 5, 1) - torch.arange(grid.width)
            there = ids.clone()
            there[:, 1] += y[rows]
            there[:, 2] += x_[columns]
            assert relative_error(turned[n], apply_rope1(raw, embedder(there[None]))) < 1e-6
            moved += relative_error(turned[n], keys) > 0.1
            n += 1
    assert n == len(turned) == 9
    assert moved == 9


@ALL_FAMILIES
@pytest.mark.parametrize("mode", ["ntk", "rectified"])
def test_positions_matter_above_the_base_size_and_at_it_no_bit_changes(family, mode):
    model, limits = tiny_transformer(family), LIMITS if mode == "rectified" else {}
    patched = with_settings(model, settings(family, RopeSettings(mode, temperature="sqrt log", **limits)))
    at_base, above = latent(family, *BASE), latent(family, 16, 22)
    assert torch.equal(sample(patched, at_base), sample(model, at_base))
    before = sample(model, above)
    got = sample(patched, above)
    assert got.isfinite().all()
    assert relative_error(got, before) > 0.01
    assert torch.equal(sample(patched, above), got)
    assert torch.equal(sample(model, above), before)


@ALL_FAMILIES
def test_ntk_gives_each_axis_the_theta_of_its_own_length(family, monkeypatch):
    model, thetas = tiny_transformer(family), []

    def spied(positions, dims, theta):
        thetas.append((dims, theta))
        return rope(positions, dims, theta)

    monkeypatch.setattr(transformer, "rope", spied)
    sample(with_settings(model, settings(family, RopeSettings("ntk"))), latent(family, 16, 36))
    network = model.model.diffusion_model
    embedder = getattr(network, embedder_name(network))
    t, y, x = embedder.axes_dim
    wanted = [(t, 1.0), (y, 2.0 ** (y / (y - 2))), (x, 3.0 ** (x / (x - 2)))]
    assert thetas[:3] == [(dims, pytest.approx(embedder.theta * factor)) for dims, factor in wanted]
    assert "forward" not in embedder.__dict__


@ALL_FAMILIES
def test_a_batch_equals_its_latents_one_by_one(family):
    model = with_settings(tiny_transformer(family), settings(family, RopeSettings("rectified", **LIMITS)))
    x = latent(family, 16, 22, batch=2)
    noise = comfy.sample.prepare_noise(x, 3)

    def run(x, noise):
        return comfy.sample.sample(
            model, noise, 2, 2.0, "euler", "simple", prompt(), prompt(6), x, disable_pbar=True, seed=3
        )

    both = run(x, noise)
    assert relative_error(both[1:], run(x[1:], noise[1:])) < 1e-4


def test_the_embedder_is_its_own_again_after_an_error():
    model = tiny_transformer("FLUX")
    embedder = model.model.diffusion_model.pe_embedder

    def cancelled(*args, **kwargs):
        assert "forward" in embedder.__dict__
        raise InterruptedError

    patched = with_settings(model, settings("FLUX", RopeSettings("ntk")))
    patched.model_options["transformer_options"][OVERRIDE_KEY] = cancelled
    with pytest.raises(InterruptedError):
        sample(patched, latent("FLUX", 16, 22))
    assert "forward" not in embedder.__dict__
