"""The methods of `dev.py bench quality` that are not published baselines: enlarging, hires-fix, FreeScale's
parts, and what all share."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from asked_families import BASE, CELLS, STEPS, Noting, asked
from comfy_extras.nodes_freelunch import FreeU
from freescale_pack.freescale_core.schedule import ddim_uniform_timesteps, restart_step
from freescale_pack.nodes.patching.model import settings_of

from tools.bench.picture_quality import painter as painter_file
from tools.bench.picture_quality.families import FAMILIES, enlarged, hires_fix, true_images, upscale_model
from tools.bench.picture_quality.painter import Painter, Sampling, Shot, loaded
from tools.harness.demo_checkpoint import DEMO, demo_checkpoint
from tools.harness.demo_prompts import CHECKPOINT


def test_hires_fix_starts_from_the_enlarged_image_at_its_restart():
    plain, told, half = (asked(name, 0.5) for name in ("hires_fix", "hires_fix_told", "hires_fix_half"))
    assert plain.model is demo_checkpoint()[0] and plain.restart == 0.5 and plain.steps is None
    assert plain.start.shape[-1] == 2 * CELLS
    assert (plain.told, told.told, half.steps) == (None, BASE, STEPS // 2)


def test_hires_fix_in_one_jump_has_one_stage():
    """Stage r samples with the shot's seed + r."""
    stages, jump = (asked(name, 0.5, scale=4) for name in ("hires_fix", "hires_fix_one_jump"))
    assert stages.start.shape == jump.start.shape == (1, 4, 4 * CELLS, 4 * CELLS)
    assert (stages.seed, jump.seed, jump.restart, jump.told) == (3, 2, 0.5, None)


def test_a_restart_leaves_out_the_first_steps(monkeypatch):
    asked_for = []
    monkeypatch.setattr(
        "nodes.KSamplerAdvanced.sample", lambda self, *args: asked_for.append(args) or [{"samples": None}]
    )
    painter = Painter(*demo_checkpoint(), Sampling(3.0, STEPS))
    for restart in (0.0, 0.5):
        painter.sampled(painter.model, "owl", 1, {}, restart)
    first = restart_step(ddim_uniform_timesteps(STEPS), 0.5)
    assert [args[-3] for args in asked_for] == [0, first] and 0 < first < STEPS


def test_an_unsharp_mask_adds_what_a_blur_takes_away():
    flat, edge = torch.full((1, 32, 32, 3), 0.5), torch.zeros(1, 32, 32, 3)
    edge[:, :, 16:] = 0.5
    assert torch.allclose(enlarged.unsharp_masked(flat, 3.0, 1.0), flat, atol=1e-5)
    sharp = enlarged.unsharp_masked(edge, 1.0, 1.0)
    assert sharp[0, 16, 16, 0] > 0.6 and sharp[0, 16, 30, 0] == pytest.approx(0.5, abs=1e-3)


def test_hires_fix_with_all_steps_below_its_denoise_is_ksamplers():
    for restart in (0.5, 0.7, 0.8):
        found = asked("hires_fix_ksampler", restart)
        steps = len(ddim_uniform_timesteps(found.steps)) - restart_step(
            ddim_uniform_timesteps(found.steps), found.restart
        )
        assert steps == STEPS and found.told is None


@pytest.mark.parametrize(
    ("name", "restart"), [("hires_fix_sharpened", 0.7), ("hires_fix_freer_sharpened", 0.4)]
)
def test_hires_fix_with_an_unsharp_mask_is_hires_fix_and_the_mask(name, restart, monkeypatch):
    def masked(image, amount, sigma):
        return 2 * image if (amount, sigma) == (0.1, 1.0) else image

    monkeypatch.setattr(hires_fix, "unsharp_masked", masked)
    latent = {"samples": torch.randn(1, 4, CELLS, CELLS)}
    painter = Noting(*demo_checkpoint(), Sampling(3.0, STEPS))
    shot = Shot("owl", 1, BASE, ((128, 128),), latent)
    plain, mask = (
        FAMILIES["hires_fix"].paint(painter, shot, restart),
        FAMILIES[name].paint(painter, shot, 0.1),
    )
    assert torch.equal(mask, 2 * plain) and painter._encoded["restart"] == restart


def test_freeu_has_the_authors_numbers_by_level_on_both():
    """Of the demo model's nine up blocks, three a level. Where ComfyUI's node finds a level, it does the
    same."""
    features, skip = torch.randn(2, 1, 128, 8, 8, generator=torch.Generator().manual_seed(0))
    node = FreeU.execute(demo_checkpoint()[0], 1.0, 1.2, 1.0, 0.4).result[0]
    (of_node,) = node.model_options["transformer_options"]["patches"]["output_block_patch"]
    for name, knob, restart in (("with_freeu", 2.0, 0.3), ("hires_fix_with_freeu", 0.7, 0.7)):
        found = asked(name, knob)
        (patch,) = found.model.model_options["transformer_options"]["patches"]["output_block_patch"]
        assert found.restart == restart
        assert (settings_of(found.model) is not None) == (name == "with_freeu")
        for block in range(9):
            h, low = patch(features.clone(), skip, {"block": ("output", block)})
            factors = [float(h[0, i, 0, 0] / features[0, i, 0, 0]) for i in (0, 63, 64, 127)]
            mean = float(low.mean() / skip.mean())
            level = ((1.1, 0.6), (1.2, 0.4), (1.0, 1.0))[block // 3]
            assert factors == pytest.approx([level[0], level[0], 1, 1]), block
            assert mean == pytest.approx(level[1], rel=1e-3), block
            if block // 3 == 1:
                assert all(map(torch.equal, (h, low), of_node(features.clone(), skip, {})))


def test_a_true_image_is_drawn_of_the_prompts_thing_and_place(monkeypatch):
    asked_for = []
    monkeypatch.setitem(
        sys.modules,
        "tools.demo.train.pictures",
        SimpleNamespace(
            render_picture=lambda *args: asked_for.append(args) or np.full((4, 6, 3), 255, np.uint8)
        ),
    )
    shot = Shot("red car on a gray background", 7, BASE, ((48, 32),), {})
    image = true_images.paint(None, shot, 0.0)
    assert asked_for == [("red car", "on a gray background", (32, 48), 7)]
    assert image.shape == (1, 4, 6, 3) and image.max() == 1


def test_real_esrgans_weights_are_read_in_the_order_of_use(tmp_path):
    """A made-up file: every convolution has 3x3 weights of its own number, and the bias 0.5."""
    lines, data = [], b""
    for number in range(len(upscale_model.CONVS)):
        lines.append(f"Convolution c{number} 1 1 a b 0=1 1=3 4=1 5=1 6=9")
        data += upscale_model.HALF_PRECISION.to_bytes(4, "little")
        data += np.full(9, number, np.float16).tobytes() + b"\0\0" + np.float32(0.5).tobytes()
    (tmp_path / "m.param").write_text("\n".join(["7767517", "1 1", *lines]), encoding="utf-8")
    (tmp_path / "m.bin").write_bytes(data)
    found = upscale_model.read_weights(tmp_path / "m")
    assert len(found) == 2 * len(upscale_model.CONVS)
    for number in (0, 5, 350):
        name = upscale_model.CONVS[number]
        assert (found[f"{name}.weight"] == number).all() and found[f"{name}.weight"].shape == (1, 1, 3, 3)
        assert found[f"{name}.bias"].item() == 0.5


def test_an_enlarged_start_is_made_once_for_all_methods_and_forgotten_with_its_latent(monkeypatch):
    made = []
    upscale = painter_file.FreeScaleUpscale.execute

    def noted(*args, **kwargs):
        made.append(args)
        return upscale(*args, **kwargs)

    monkeypatch.setattr(painter_file.FreeScaleUpscale, "execute", noted)
    painter = Painter(*demo_checkpoint(), Sampling(3.0, 2))
    latent = {"samples": torch.zeros(1, 4, CELLS, CELLS)}
    first, again = (painter.enlarged(latent, (128, 128)) for _ in range(2))
    assert first is again and len(made) == 1
    painter.enlarged(latent, (256, 256))
    painter.enlarged({"samples": latent["samples"].clone()}, (128, 128))
    assert len(made) == 3
    del latent
    made.clear()
    assert not painter._enlarged


def test_bf16_is_the_unets_arithmetic_and_changes_an_image_by_rounding_alone():
    seen, latents = [], []
    for bf16 in (False, True):
        model, *others = loaded(DEMO / CHECKPOINT, bf16)
        handle = model.get_model_object("diffusion_model").register_forward_pre_hook(
            lambda module, inputs: seen.append(inputs[0].dtype)
        )
        with torch.inference_mode():
            latents.append(
                Painter(model, *others, Sampling(3.0, 4)).base_latent("owl at night", 1, (128, 128))
            )
        handle.remove()
    assert set(seen[:4]) == {torch.float32} and set(seen[4:]) == {torch.bfloat16}
    one, other = (latent["samples"] for latent in latents)
    assert 0 < float((one - other).norm() / one.norm()) < 0.03


def test_no_method_changes_the_start_that_all_share():
    latent = Painter(*demo_checkpoint(), Sampling(3.0, 2)).base_latent("owl at night", 1, (64, 64))
    shot = Shot("owl at night", 1, (64, 64), ((128, 128),), latent)
    painter = Painter(*demo_checkpoint(), Sampling(3.0, 2))
    start = painter.enlarged(latent, (128, 128))["samples"]
    before, base = start.clone(), latent["samples"].clone()
    for family in FAMILIES.values():
        family.paint(painter, shot, family.values[0])
        assert torch.equal(start, before) and torch.equal(latent["samples"], base), family.name
    assert painter.enlarged(latent, (128, 128))["samples"] is start
