"""A plan in numbers and as text."""

import pytest

from freescale_core.geometry import Size
from freescale_core.planning.cost import WEIGHTS_GIB
from freescale_core.planning.plan import CascadePlan
from freescale_core.planning.report import describe, report

BASE = Size(1024, 1024)
TO_8K = (Size(2048, 2048), Size(4096, 4096), Size(8192, 8192))


def test_stages_of_8k():
    numbers = report(CascadePlan(BASE, TO_8K))
    table = [(s.windows, s.window, s.dilation, s.kernel) for s in numbers.stages]
    assert table == [(1, (64, 64), 1, 1), (9, (64, 64), 2, 3), (49, (64, 64), 4, 7), (225, (64, 64), 8, 15)]
    # 35 of 50 calls at 43.7, 329.0 and 3648 TFLOP (fast 34.7, 148.6 and 617.5) over 50 calls at 6.76;
    # besides, what moving 0.42, 1.68 and 6.71 billion elements takes: 10.5, 41.9 and 167.8 TFLOP
    assert [s.exact for s in numbers.stages] == pytest.approx([1, 5.61, 38.40, 395.1], rel=0.005)
    assert [s.balanced for s in numbers.stages] == pytest.approx([1, 4.68, 19.72, 81.30], rel=0.005)
    # at Fast 11 of 15 calls at 30.9, 123.8 and 496 TFLOP; moving takes half as much
    assert [s.fast for s in numbers.stages] == pytest.approx([1, 1.18, 4.71, 18.9], rel=0.01)
    assert (numbers.exact, numbers.balanced, numbers.direct) == pytest.approx(
        (440.1, 106.7, 511.8), rel=0.005
    )


def test_steps_of_the_base_count_in_the_later_stages_and_a_plans_own_do_not_follow_them():
    """Fast takes 15 at most, so a base of 10 steps takes 10 everywhere."""
    plan = CascadePlan(BASE, TO_8K[:1])
    ten, fifty = report(plan, 10), report(plan)
    assert ten.stages[1].exact == pytest.approx(fifty.stages[1].exact, rel=0.01)
    assert ten.stages[1].fast / fifty.stages[1].fast == pytest.approx((7 / 10) / (11 / 50))
    own = CascadePlan(BASE, TO_8K[:1], steps=20)
    assert report(own, 10).stages[1].exact == pytest.approx(5 * report(own).stages[1].exact)
    assert report(own).stages[1].fast / report(own).stages[1].balanced < 1


@pytest.mark.parametrize(
    ("changes", "calls", "restart_timestep"),
    [
        ({}, 35, 681),
        ({"restart": 0.0}, 50, 981),
        ({"restart": 0.5}, 25, 481),
        ({"steps": 10}, 7, 601),
        ({"scheduler": "karras"}, 35, None),
        ({"scheduler": "ddim_uniform"}, 35, 681),
    ],
)
def test_calls_and_restart(changes, calls, restart_timestep):
    numbers = report(CascadePlan(BASE, TO_8K[:1], **changes))
    assert numbers.stages[1].exact == pytest.approx(calls / 50 * 54.182 / 6.761, rel=0.005)
    assert numbers.restart_timestep == restart_timestep


def test_text_names_sizes_windows_dilation_changes_cost_and_memory():
    plan = CascadePlan(BASE, (Size(2048, 2048), Size(8192, 8192)), steps=12, sampler_name="dpmpp_2m")
    assert describe(plan).splitlines() == [
        "Stage 0: 1024x1024, the base size",
        "Stage 1: 2048x2048, 2.00 times the base; 9 windows of 64x64 tokens at half resolution, dilation 2, "
        "blur kernel 3",
        "Stage 2: 8192x8192, 8.00 times the base; 225 windows of 64x64 tokens at half resolution, dilation "
        "8, blur kernel 15",
        "Each stage skips the preset's share of the noise; images are enlarged by bicubic; VAE tiling auto",
        "Stages from 1 on: 12 steps, dpmpp_2m",
        "Cost on SDXL's UNet with 50 steps, the base image = 1: stage 1 1.4 (Balanced 1.2, Fast 1.0), stage "
        "2 101.6 (Balanced 20.9, Fast 15.5); "
        "all with the base 104.0 (Balanced 23.1, Fast 17.4); direct sampling at 8192x8192 511.8",
        "GPU memory in GiB, an estimate for SDXL in fp16: stage 0 5.1 (VAE in one piece 2.1), stage 1 6.1 "
        "(VAE in one piece 8.6), "
        "stage 2 25.9 (VAE in one piece 137.6); VAE in tiles 0.5; with FreeU, its filter takes 13.8 of the "
        "last stage's",
    ]


def test_the_frames_of_a_video_count_in_cost_and_memory_and_change_nothing_else():
    """What the VAE takes is told for one: it decodes them in batches that fit."""
    image, video = (report(CascadePlan(BASE, TO_8K[:2], frames=frames)) for frames in (1, 16))
    for one, all_frames in zip(image.stages, video.stages, strict=True):
        for cost in ("exact", "balanced", "fast", "freeu_gib"):
            assert getattr(all_frames, cost) == pytest.approx(16 * getattr(one, cost))
        assert all_frames.unet_gib - WEIGHTS_GIB == pytest.approx(16 * (one.unet_gib - WEIGHTS_GIB))
        same = ("size", "scale", "window", "windows", "dilation", "kernel", "vae_gib")
        assert all(getattr(all_frames, name) == getattr(one, name) for name in same)
    for cost in ("exact", "balanced", "fast", "direct"):
        assert getattr(video, cost) == pytest.approx(16 * getattr(image, cost))
    assert (video.steps, video.restart_timestep) == (image.steps, image.restart_timestep)
    text = describe(CascadePlan(BASE, TO_8K[:1], frames=16)).splitlines()
    assert text[0] == "Video of 16 frames: cost and memory of sampling count all of them"
    assert text[1:2] == describe(CascadePlan(BASE, TO_8K[:1])).splitlines()[:1]
    with pytest.raises(ValueError, match="expected at least one frame, got 0: choose 1 for an image"):
        CascadePlan(BASE, TO_8K, frames=0)
