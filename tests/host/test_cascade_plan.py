"""A plan's resize method, upscale model, VAE tiling and base reach the cascade.

What cannot run is refused early.
"""

import pytest
import torch
from comfy_extras import nodes_upscale_model
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.planning.plan import CascadePlan
from freescale_pack.nodes import cascade_node
from freescale_pack.nodes.cascade import run as cascade_module
from freescale_pack.nodes.cascade import vae as vae_module
from freescale_pack.nodes.cascade_node import FreeScaleCascade
from freescale_pack.nodes.part_nodes import FreeScaleDetailControl
from freescale_pack.nodes.stage_override_node import FreeScaleStageOverride
from freescale_pack.nodes.upscale_node import FreeScaleUpscale

from tools.harness.demo_checkpoint import conditioning, demo_checkpoint

from .cascades import patched

BASE = Size(64, 64)


@pytest.fixture(scope="module")
def texts():
    return conditioning("red apple"), conditioning("")


class Mirrored:
    """Stands for the host's node that enlarges with a model: an "upscale model" that mirrors pictures."""

    result: tuple[torch.Tensor]

    @classmethod
    def execute(cls, upscale_model, image):
        assert upscale_model == "mirror"
        made = cls()
        made.result = (image.flip(2),)
        return made


def run(texts, sampler="euler", model=None, overrides=(), **plan):
    base = patched(demo_checkpoint()[0], base_width=64, base_height=64) if model is None else model
    plan = CascadePlan(BASE, (Size(96, 96), Size(128, 128)), **plan)
    start = {"samples": torch.zeros(1, 4, 8, 8)}
    vae = demo_checkpoint()[2]
    return FreeScaleCascade.execute(
        base, *texts, vae, 1, 4, 3.0, sampler, "normal", 2.0, latent=start, plan=plan, overrides=overrides
    ).result


@pytest.fixture
def starts(monkeypatch):
    """Starting latents of the stages after the base; those are not sampled further."""
    seen, sample = [], cascade_module.sample

    def noted(stage, latent, callback):
        if stage.start_step is None:
            return sample(stage, latent, callback)
        seen.append(latent["samples"])
        return latent

    monkeypatch.setattr(cascade_module, "sample", noted)
    return seen


@pytest.mark.parametrize(
    "plan",
    [{}, {"method": "lanczos"}, {"upscale_model": "mirror"}, {"tiling": "on"}],
    ids=["plain", "lanczos", "upscale model", "tiles"],
)
def test_each_stage_starts_from_what_the_upscale_node_makes_of_the_one_before(
    texts, starts, monkeypatch, plan
):
    monkeypatch.setattr(nodes_upscale_model, "ImageUpscaleWithModel", Mirrored)
    monkeypatch.setattr(vae_module, "TILES", (64,))
    _, _, pictures = run(texts, **plan)
    vae, others = demo_checkpoint()[2], {"method": "bicubic", "tiling": "off", **plan}
    for picture, start, side in zip(pictures, starts, (96, 128), strict=False):
        expected = FreeScaleUpscale.execute(vae, 2.0, side, side, image=picture, **others).result[0]
        assert torch.equal(start, expected["samples"])
        if plan:
            other = FreeScaleUpscale.execute(vae, 2.0, side, side, "bicubic", "off", image=picture).result[0]
            assert not torch.equal(start, other["samples"])
    assert len(starts) == 2


@pytest.mark.parametrize("tiling", ["on", "off"])
def test_a_plans_tiling_counts_for_decoding_too(texts, starts, monkeypatch, tiling):
    vae, seen = demo_checkpoint()[2], []
    for name in ("decode", "decode_tiled"):
        original = getattr(vae, name)
        monkeypatch.setattr(
            vae, name, lambda *a, _name=name, _call=original, **kw: (seen.append(_name), _call(*a, **kw))[1]
        )
    run(texts, tiling=tiling)
    assert seen == ["decode_tiled" if tiling == "on" else "decode"] * 3


class BasePaid(Exception):
    """The base picture was sampled."""


@pytest.fixture
def no_base(monkeypatch):
    def paid(*args):
        raise BasePaid

    monkeypatch.setattr(cascade_node, "run_cascade", paid)


def test_a_refused_sampler_is_refused_before_the_base_picture_is_paid_for(texts, no_base):
    with pytest.raises(ValueError, match="cannot work with the sampler uni_pc"):
        run(texts, sampler="uni_pc")
    with pytest.raises(ValueError, match="cannot work with the sampler sa_solver"):
        run(texts, sampler_name="sa_solver")


def test_a_refused_sampler_may_draw_the_base_picture_or_stages_without_detail_control(texts, no_base):
    without = FreeScaleDetailControl.execute(patched(demo_checkpoint()[0]), False, 1.0).result[0]
    with pytest.raises(BasePaid):
        run(texts, sampler="uni_pc", sampler_name="euler")
    with pytest.raises(BasePaid):
        run(texts, sampler="uni_pc", model=without)


def test_an_override_that_brings_detail_control_back_is_checked_too(texts, no_base):
    without = FreeScaleDetailControl.execute(patched(demo_checkpoint()[0]), False, 1.0).result[0]
    overrides = FreeScaleStageOverride.execute(2, 0.0, model=patched(demo_checkpoint()[0])).result[0]
    with pytest.raises(ValueError, match="cannot work with the sampler uni_pc"):
        run(texts, sampler="uni_pc", model=without, overrides=overrides)


@pytest.mark.parametrize(
    ("width", "height", "refused"), [(104, 100, False), (100, 104, False), (107, 100, True), (100, 107, True)]
)
def test_a_picture_may_be_five_percent_wider_or_higher_than_stage_1(texts, no_base, width, height, refused):
    plan, picture = CascadePlan(BASE, (Size(128, 128),)), torch.zeros(1, height, width, 3)
    model, _, vae = demo_checkpoint()
    with pytest.raises(
        ValueError if refused else BasePaid,
        match=f"got {width}x{height}: change the plan" if refused else None,
    ):
        FreeScaleCascade.execute(
            model, *texts, vae, 1, 4, 3.0, "euler", "normal", 2.0, image=picture, plan=plan
        )


def test_a_plans_base_counts_in_the_model_and_in_every_override(texts, monkeypatch):
    seen = []

    def keep(stages, *rest):
        seen.extend(stage.settings.base for stage in stages)
        raise BasePaid

    monkeypatch.setattr(cascade_node, "run_cascade", keep)
    model, other = (patched(demo_checkpoint()[0], base_width=side, base_height=side) for side in (80, 96))
    overrides = FreeScaleStageOverride.execute(2, 0.0, model=other).result[0]
    with pytest.raises(BasePaid):
        run(texts, model=model, overrides=overrides)
    assert seen == [BASE, BASE, BASE]


def test_an_alpha_channel_of_the_first_picture_is_left_out(texts, starts):
    model, _, vae = demo_checkpoint()
    picture, plan = torch.rand(1, 64, 64, 4), CascadePlan(BASE, (Size(96, 96),))
    pictures = FreeScaleCascade.execute(
        model, *texts, vae, 1, 4, 3.0, "euler", "normal", 2.0, image=picture, plan=plan
    ).result[2]
    assert torch.equal(pictures[0], picture[..., :3])
