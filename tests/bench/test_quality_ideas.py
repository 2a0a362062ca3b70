"""The candidates of `dev.py bench quality`: each one's idea, on the demo model or on tensors whose outcome is
known."""

import math

import pytest
import torch
from asked_families import BASE, CELLS, STEPS, asked, dilations, unet
from freescale_pack.nodes.backbones.unet import dilation_convs
from freescale_pack.nodes.patching.model import settings_of

from tools.bench.picture_quality.families import FAMILIES, ideas
from tools.bench.picture_quality.painter import Painter, Sampling, Shot
from tools.harness.demo_checkpoint import demo_checkpoint


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


def test_held_tiles_are_freescale_without_its_parts_and_the_base_size_is_all_that_the_model_sees():
    found = asked("held_tiles", 0.5)
    settings, seen = settings_of(found.model), []
    assert settings.fusion is None and settings.dilation is None and settings.detail.alpha == 0.5
    assert found.restart == 0.3
    tiles_and_whole(found.model, 100, seen)
    assert {size for size in seen} == {(CELLS, CELLS)}


def test_tiles_give_way_to_the_whole_image_at_a_timestep():
    found, early, late = asked("tiles_then_whole", 500.0), [], []
    assert settings_of(found.model).fusion is not None
    tiles_and_whole(found.model, 600, early)
    tiles_and_whole(found.model, 400, late)
    assert set(early) == {(CELLS, CELLS)} and late == [(2 * CELLS, 2 * CELLS)]


def tiles_and_whole(model, t, seen):
    """Call the model's wrapper at a timestep and note the sizes that the UNet is given."""
    x, sigma = (
        torch.randn(1, 4, 2 * CELLS, 2 * CELLS),
        model.get_model_object("model_sampling").sigma(torch.tensor([t])),
    )
    apply = lambda x, sigma, **c: seen.append(tuple(x.shape[2:])) or x  # noqa: E731
    out = model.model_options["model_function_wrapper"](apply, {"input": x, "timestep": sigma[None], "c": {}})
    assert torch.allclose(out, x, atol=1e-6)


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
