"""FreeScaleCascade against the graph of stock nodes it stands for, on the demo checkpoint."""

import comfy.sd
import pytest
import torch
from freescale_pack.freescale_core.presets import PRESETS
from freescale_pack.nodes import cascade_node
from freescale_pack.nodes.cascade.run import StageResult
from freescale_pack.nodes.upscale_node import FreeScaleUpscale

import nodes as host_nodes
from tools.harness.demo_checkpoint import conditioning, demo_checkpoint

from .cascades import BASE, CFG, FIRST, SCHEDULER, SEED, STEPS, cascade, empty, patched


@pytest.fixture(scope="module")
def texts():
    return conditioning("red apple on a white background"), conditioning("")


def explicit_graph(model, texts, vae, sampler, start, sizes):
    """KSampler, then per stage FreeScaleUpscale and KSampler (Advanced), as a user wires them."""
    stages = [host_nodes.KSampler().sample(model, SEED, STEPS, CFG, sampler, SCHEDULER, *texts, start)[0]]
    for r, (width, height) in enumerate(sizes, start=1):
        start = FreeScaleUpscale.execute(
            vae, 2.0, width, height, "bicubic", "off", samples=stages[-1]
        ).result[0]
        run = host_nodes.KSamplerAdvanced().sample(
            model, "enable", SEED + r, STEPS, CFG, sampler, SCHEDULER, *texts, start, FIRST, 10000, "disable"
        )
        stages.append(run[0])
    return stages


@pytest.mark.parametrize(
    ("sampler", "width", "height"), [("euler", BASE, BASE), ("dpmpp_2m", 96, 64), ("euler_ancestral", 64, 72)]
)
def test_cascade_equals_the_explicit_graph_bit_for_bit(texts, sampler, width, height):
    model, _, vae = demo_checkpoint()
    model = patched(model, base_width=width, base_height=height)
    start = {"samples": torch.zeros(1, 4, height // 8, width // 8)}
    stages = explicit_graph(
        model, texts, vae, sampler, start, [(2 * width, 2 * height), (4 * width, 4 * height)]
    )
    latent, image, _ = cascade(model, texts, vae, sampler, latent=start)
    assert torch.equal(latent["samples"], stages[-1]["samples"])
    assert torch.equal(image, vae.decode(stages[-1]["samples"]))


def test_stage_outputs_hold_every_picture_and_a_finished_latent_skips_stage_0(texts):
    model, _, vae = demo_checkpoint()
    model = patched(model)
    latent, image, stages = cascade(model, texts, vae, factor=2.0, latent=empty())
    assert [tuple(s.shape) for s in stages] == [(1, BASE, BASE, 3), (1, 2 * BASE, 2 * BASE, 3)]
    assert torch.equal(image, stages[-1])
    base = host_nodes.KSampler().sample(model, SEED, STEPS, CFG, "euler", SCHEDULER, *texts, empty())[0]
    again = cascade(model, texts, vae, factor=2.0, latent=base)[0]
    assert torch.equal(again["samples"], latent["samples"])


def test_a_picture_is_resized_from_its_own_pixels(texts):
    """A 152x152 picture goes straight to 304x304; shrunk to the base first, fine detail would be lost before
    the VAE."""
    model, _, vae = demo_checkpoint()
    picture = (torch.arange(152 * 152 * 3) % 7 / 6).reshape(1, 152, 152, 3)
    latent, _, stages = cascade(patched(model), texts, vae, factor=2.0, image=picture)
    assert torch.equal(stages[0], picture)
    assert latent["samples"].shape == (1, 4, 38, 38)
    start = FreeScaleUpscale.execute(vae, 2.0, 0, 0, "bicubic", "off", image=picture).result[0]
    expected = host_nodes.KSamplerAdvanced().sample(
        patched(model),
        "enable",
        SEED + 1,
        STEPS,
        CFG,
        "euler",
        SCHEDULER,
        *texts,
        start,
        FIRST,
        10000,
        "disable",
    )[0]
    assert torch.equal(latent["samples"], expected["samples"])


@pytest.mark.parametrize("start", [{"latent": empty(1024)}, {"image": torch.zeros(1, 1024, 1024, 3)}])
def test_a_model_without_a_patch_gets_preset_auto_and_says_so(texts, monkeypatch, caplog, start):
    caplog.set_level("INFO", logger="FreeScale")
    seen = []

    def run(stages, vae, plan, start, origin):
        seen.append((stages[0].settings, plan, [stage.start_step for stage in stages]))
        return [StageResult(None, torch.zeros(1, 8, 8, 3))]

    monkeypatch.setattr(cascade_node, "run_cascade", run)
    model, _, vae = demo_checkpoint()
    cascade(model, texts, vae, factor=4.0, **start)
    settings, plan, starts = seen[0]
    assert settings == PRESETS["SDXL"]
    assert (plan.base, plan.stages, starts) == (
        (1024, 1024),
        ((2048, 2048), (4096, 4096)),
        [None, FIRST, FIRST],
    )
    assert "carries no FreeScale patch, the preset Auto is applied" in caplog.text


@pytest.mark.parametrize(
    ("node", "values", "warnings"),
    [("ConditioningSetArea", (64, 64), 1), ("ConditioningSetAreaPercentage", (0.5, 0.5), 0)],
)
def test_an_area_in_pixels_is_warned_about_since_it_does_not_grow_along(
    texts, monkeypatch, caplog, node, values, warnings
):
    monkeypatch.setattr(
        cascade_node, "run_cascade", lambda *args: [StageResult(None, torch.zeros(1, 8, 8, 3))]
    )
    model, _, vae = demo_checkpoint()
    area = getattr(host_nodes, node)().append(texts[0], *values, 0, 0, 1.0)[0]
    cascade(patched(model), (area, texts[1]), vae, latent=empty())
    assert caplog.text.count("Conditioning (Set Area) keeps its pixels while the image grows") == warnings


def test_the_base_of_a_patch_that_names_none_is_the_presets_area_for_latents_too(texts, caplog):
    """A finished 256 px latent with a preset for 512 px: 512 px is the base size, not 256."""
    model, _, vae = demo_checkpoint()
    with pytest.raises(ValueError, match="a target at least 1.1 times the base size, got 512x512 -> 512x512"):
        cascade(
            patched(model, preset="SD1.5", base_width=0, base_height=0),
            texts,
            vae,
            factor=2.0,
            latent=empty(256),
        )


def test_masks_and_batch_index_survive_the_stages(texts):
    model, _, vae = demo_checkpoint()
    base = {
        "samples": torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0)),
        "batch_index": [3, 5],
        "noise_mask": torch.ones(1, 16, 16),
    }
    latent = cascade(patched(model), texts, vae, factor=2.0, latent=base)[0]
    assert latent["batch_index"] == [3, 5]
    assert torch.equal(latent["noise_mask"], base["noise_mask"])
    kept = cascade(
        patched(model), texts, vae, factor=2.0, latent={**base, "noise_mask": torch.zeros(1, 16, 16)}
    )[0]
    start = FreeScaleUpscale.execute(vae, 2.0, 0, 0, "bicubic", "off", samples=base).result[0]
    assert torch.allclose(kept["samples"], start["samples"], atol=1e-4)
    assert start["batch_index"] == [3, 5]
    one = {**base, "samples": base["samples"][1:], "batch_index": [5]}
    alone = cascade(patched(model), texts, vae, factor=2.0, latent=one)[0]
    difference = (latent["samples"][1] - alone["samples"][0]).norm() / alone["samples"].norm()
    assert difference < 1e-4


@pytest.mark.parametrize("start", [{}, {"latent": empty(), "image": torch.zeros(1, 64, 64, 3)}])
def test_exactly_one_start_is_expected(texts, start):
    model, _, vae = demo_checkpoint()
    with pytest.raises(ValueError, match="either a latent or an image"):
        cascade(model, texts, vae, **start)


@pytest.mark.parametrize("vae", [None, "without weights"])
def test_a_checkpoint_without_a_vae_is_refused_before_sampling(texts, vae):
    """The host's loader makes a VAE object without a network; that once failed after the base was sampled."""
    model, vae = demo_checkpoint()[0], vae and comfy.sd.VAE(sd={})
    with pytest.raises(
        ValueError, match="FreeScale Cascade expects a VAE, got none: .* load one with Load VAE"
    ):
        cascade(model, texts, vae, latent=empty())
    with pytest.raises(ValueError, match="FreeScale Upscale expects a VAE, got none"):
        FreeScaleUpscale.execute(vae, 2.0, 0, 0, "bicubic", "auto", samples=empty())


def test_a_latent_of_another_kind_of_model_is_refused_before_sampling(texts):
    model, _, vae = demo_checkpoint()
    with pytest.raises(
        ValueError, match="expects a latent with 4 channels, got 16: encode the image with this model's VAE"
    ):
        cascade(model, texts, vae, latent={"samples": torch.ones(1, 16, 16, 16)})
    with pytest.raises(
        ValueError, match="FreeScale Upscale .* 4 channels, got 16: connect the VAE that made the latent"
    ):
        FreeScaleUpscale.execute(
            vae, 2.0, 0, 0, "bicubic", "auto", samples={"samples": torch.zeros(1, 16, 16, 16)}
        )
    with pytest.raises(
        ValueError,
        match=r"expects a latent of shape .*, got shape \(1, 16, 7, 16, 16\) of torch.float32: for a video",
    ):
        cascade(model, texts, vae, latent={"samples": torch.zeros(1, 16, 7, 16, 16)})


def test_an_empty_latent_of_another_kind_of_model_is_adapted_as_by_ksampler(texts):
    """Flux 2's: 128 channels and 16 pixels a cell, where the host knows such hints."""
    model, _, vae = demo_checkpoint()
    model, start = (
        patched(model, base_width=64, base_height=64),
        {"samples": torch.zeros(1, 128, 8, 8), "downscale_ratio_spacial": 16},
    )
    base = host_nodes.KSampler().sample(model, SEED, STEPS, CFG, "euler", SCHEDULER, *texts, start)[0]
    image, stages = cascade(model, texts, vae, factor=1.5, latent=start)[1:]
    assert torch.equal(stages[0], vae.decode(base["samples"]))
    assert image.shape[1] == stages[0].shape[1] * 3 // 2
