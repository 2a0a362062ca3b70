"""Neighbourhoods of tiny random transformers, through ComfyUI's own sampler: the speeds Balanced and Fast."""

import pytest
import torch
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.presets import PRESETS, SPEEDS
from freescale_pack.freescale_core.settings import FreeScaleSettings, RopeSettings
from freescale_pack.nodes.model_patch_node import FreeScaleModelPatch
from freescale_pack.nodes.part_nodes import FreeScaleRoPE
from freescale_pack.nodes.patching.model import settings_of, with_settings
from freescale_pack.nodes.widgets import ROPE_BY_PRESET

from tools.harness.demo_checkpoint import demo_checkpoint
from tools.harness.golden_cases import relative_error
from tools.harness.tiny_transformers import FAMILIES, TEXT_TOKENS, latent, prompt, tiny_transformer

from .rope_runs import EFFECT, FAMILY, ROUNDING, large, sample, with_override

ROPES = {"own positions": None, "ntk": RopeSettings("ntk"), "rectified": RopeSettings("rectified")}
BASES = {"Wan 2.2 5B": Size(128, 192)}
"""4 x 6 tokens each."""
LARGE = Size(8, 12)
"""Tokens of `large`."""


def near(model, rope="own positions", family="FLUX"):
    parts = {"fusion": None, "dilation": None, "detail": None, "rope": ROPES.get(rope, rope)}
    base = BASES.get(family, Size(64, 96))
    return with_settings(model, FreeScaleSettings(base=base, **parts, neighbourhoods=True))


def hidden(tokens, text):
    """(n, n): minus infinity where a query is not to see a key, written by hand for LARGE and 4 x 6 tokens.

    text: tokens before those of the image's frames. A patch has 2 x 3 tokens, so a neighbourhood one row
    more above and below, and one column more on the left and two on the right.
    """
    first_row = torch.tensor([0, 0, 1, 1, 3, 3, 4, 4])
    first_column = torch.tensor([0, 0, 0, 2, 2, 2, 5, 5, 5, 6, 6, 6])
    at = torch.arange(tokens - text) % LARGE.area
    rows, columns = at // LARGE.width, at % LARGE.width
    y, x = rows[None] - first_row[rows][:, None], columns[None] - first_column[columns][:, None]
    mask = torch.zeros(tokens, tokens)
    mask[text:, text:].masked_fill_((y < 0) | (y > 3) | (x < 0) | (x > 5), -torch.inf)
    return mask


@FAMILY
def test_it_is_the_model_with_far_image_tokens_hidden(family):
    model, x = tiny_transformer(family), large(family)
    text = TEXT_TOKENS if family == "FLUX" else 0

    def hiding(function, q, k, v, heads, mask=None, **kwargs):
        axis = 2 if kwargs.get("skip_reshape") else 1
        if q.shape[axis] == k.shape[axis]:
            mask = hidden(q.shape[axis], text)
        return function(q, k, v, heads, mask=mask, **kwargs)

    got = sample(near(model), x, cfg=3.0)
    assert relative_error(got, sample(with_override(model, hiding), x, cfg=3.0)) < ROUNDING
    assert relative_error(got, sample(model, x, cfg=3.0)) > EFFECT


@FAMILY
def test_text_is_always_a_key_and_frames_stay_together(family):
    """What the attention below gets, for one layer: (queries, keys) of its calls."""
    model, x, calls = tiny_transformer(family), large(family), []

    def noted(function, q, k, v, heads, *args, **kwargs):
        axis = 2 if kwargs.get("skip_reshape") else 1
        calls.append((q.shape[axis], k.shape[axis]))
        return function(q, k, v, heads, *args, **kwargs)

    sample(near(with_override(model, noted)), x)
    patches = LARGE.area // 6
    if family == "FLUX":
        tokens = TEXT_TOKENS + LARGE.area
        assert calls[: patches + 1] == [(TEXT_TOKENS, tokens), *[(6, TEXT_TOKENS + 24)] * patches]
    else:
        assert calls[: patches + 1] == [*[(2 * 6, 2 * 24)] * patches, (2 * LARGE.area, TEXT_TOKENS)]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("rope", ROPES)
def test_it_acts_above_the_base_size_and_at_it_no_bit_changes(family, rope):
    model, above = tiny_transformer(family), latent(family, 16, 22)
    patched, at_base = near(model, rope, family), latent(family, 8, 12)
    assert torch.equal(sample(patched, at_base), sample(model, at_base))
    before, got = sample(model, above), sample(patched, above)
    assert got.isfinite().all()
    assert relative_error(got, before) > EFFECT
    assert torch.equal(sample(patched, above), got)
    assert torch.equal(sample(model, above), before)


@FAMILY
def test_ntk_turns_positions_and_rectified_has_nothing_left_to_turn(family):
    model, x = tiny_transformer(family), large(family)
    own, ntk, rectified = (sample(near(model, rope), x) for rope in ROPES)
    assert torch.equal(rectified, own)
    assert relative_error(ntk, own) > EFFECT


def test_the_end_of_the_positions_is_not_the_end_of_the_neighbourhoods():
    model, x = tiny_transformer("FLUX"), large("FLUX")
    ended = near(model, RopeSettings("ntk", end_percent=0.0))
    assert torch.equal(sample(ended, x), sample(near(model), x))


def test_the_part_node_of_positions_leaves_them_as_they_are():
    model = near(tiny_transformer("FLUX"))
    widgets = {i.id: i.default for i in FreeScaleRoPE.define_schema().inputs if i.id != "model"}
    for mode in ("NTK", "off"):
        found = settings_of(FreeScaleRoPE.execute(model, **widgets | {"mode": mode}).result[0])
        assert found.neighbourhoods
        assert (found.rope is None) == (mode == "off")


@FAMILY
def test_a_batch_equals_its_images_one_by_one(family):
    model, x = near(tiny_transformer(family)), large(family, batch=2)
    texts = {"positive": prompt(), "negative": prompt(6)}
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    both = sample(model, x, cfg=3.0, noise=noise, **texts)
    for one in (0, 1):
        alone = sample(model, x[one : one + 1], cfg=3.0, noise=noise[one : one + 1], **texts)
        assert relative_error(both[one : one + 1], alone) < ROUNDING


def test_a_reference_latent_is_always_a_key():
    """Kontext's tokens come after the image's and stand on a grid of their own."""
    model, x, calls = tiny_transformer("FLUX"), large("FLUX"), []

    def noted(function, q, k, v, heads, *args, **kwargs):
        calls.append((q.shape[2], k.shape[2]))
        return function(q, k, v, heads, *args, **kwargs)

    (text, options), *_ = prompt()
    reference = [[text, {**options, "reference_latents": [latent("FLUX", 16, 24, seed=9)]}]]
    sample(near(with_override(model, noted)), x, positive=reference)
    others = TEXT_TOKENS + LARGE.area
    assert calls[:2] == [(others, others + LARGE.area), (6, others + 24)]


def patched_settings(model, speed, rope=ROPE_BY_PRESET):
    return settings_of(FreeScaleModelPatch.execute(model, "Auto", speed, 2.0, 0, 0, rope=rope).result[0])


@pytest.mark.parametrize("speed", SPEEDS)
def test_speeds_choose_it_for_models_with_rotary_positions(speed):
    flux, wan = (tiny_transformer(family) for family in ("FLUX", "Wan"))
    is_near = speed != "Exact"
    for model, preset in ((flux, "FLUX.1, Chroma"), (wan, "Wan 720p (1280x720)")):
        found = patched_settings(model, speed)
        assert (found.rope, found.neighbourhoods) == (PRESETS[preset].rope, is_near)
    without = patched_settings(flux, speed, "off")
    assert (without.rope, without.neighbourhoods) == (None, is_near)
    for model in (tiny_transformer("SD3.5"), demo_checkpoint()[0]):
        assert not patched_settings(model, speed).neighbourhoods
