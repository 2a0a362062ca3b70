"""How long a step of the base image takes here, noted by every run of a patched MODEL."""

import dataclasses

import pytest
import torch
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.planning.cost import fused_cost, unet_operations
from freescale_pack.freescale_core.settings import FreeScaleSettings
from freescale_pack.nodes.patching import step_times
from freescale_pack.nodes.patching.step_times import (
    MAX_KNOWN,
    STEP_TIMES,
    BaseTime,
    StepClock,
    StepTimes,
    note_run,
    schedule_steps,
)

import nodes as host_nodes
from tools.harness.demo_checkpoint import conditioning, demo_checkpoint

from .cascades import patched

BASE, TWICE = Size(1024, 1024), Size(2048, 2048)
SETTINGS = FreeScaleSettings(base=BASE)


@pytest.fixture(autouse=True)
def nothing_known():
    STEP_TIMES.clear()
    yield
    STEP_TIMES.clear()


def clock_of(*times, monkeypatch):
    """A clock whose steps ended at these times."""
    moments = iter(times)
    monkeypatch.setattr(step_times.time, "monotonic", lambda: next(moments))
    clock = StepClock(None)
    for step in range(len(times)):
        clock(step, None, None, len(times))
    return clock


def test_the_first_step_is_left_out_and_the_callback_is_called_on(monkeypatch):
    assert clock_of(100.0, 101.0, 105.0, monkeypatch=monkeypatch).step_seconds() == 2.5
    assert clock_of(100.0, monkeypatch=monkeypatch).step_seconds() is None
    assert StepClock(None).step_seconds() is None
    seen = []
    monkeypatch.undo()
    StepClock(lambda *told: seen.append(told))(3, "x0", "x", 7)
    assert seen == [(3, "x0", "x", 7)]


def test_a_batch_counts_by_its_images_and_a_large_run_by_its_cost(monkeypatch):
    note_run("SDXL", SETTINGS, BASE, 2, 30, clock_of(0.0, 3.0, monkeypatch=monkeypatch))
    assert STEP_TIMES.of("SDXL", BASE) == BaseTime(1.5, 30)
    note_run("SDXL", SETTINGS, TWICE, 1, None, clock_of(0.0, 8.0, monkeypatch=monkeypatch))
    cost = fused_cost(BASE, TWICE, "exact") / unet_operations(BASE)
    assert STEP_TIMES.of("SDXL", BASE).step_seconds == pytest.approx(8.0 / cost)
    assert STEP_TIMES.of("SDXL", BASE).steps == 30
    assert STEP_TIMES.of("SD15", BASE) is None and STEP_TIMES.of("SDXL", TWICE) is None


def test_a_run_without_scale_fusion_counts_as_an_ordinary_one(monkeypatch):
    off = dataclasses.replace(SETTINGS, fusion=None)
    note_run("SDXL", off, TWICE, 1, None, clock_of(0.0, 8.0, monkeypatch=monkeypatch))
    of_base = 8.0 * unet_operations(BASE) / unet_operations(TWICE)
    assert STEP_TIMES.of("SDXL", BASE) == BaseTime(pytest.approx(of_base), None)


def test_the_oldest_sizes_go():
    times = StepTimes()
    for side in range(MAX_KNOWN + 1):
        times.note("SDXL", Size(side, side), BaseTime(1.0, 1))
    assert times.of("SDXL", Size(0, 0)) is None
    assert times.of("SDXL", Size(1, 1)) is not None


@pytest.mark.parametrize(
    ("changes", "run_steps", "is_empty", "steps"),
    [
        ({}, 30, True, 30),
        ({}, 35, False, 50),
        ({"restart": 0.5}, 2, False, 4),
        ({"max_later_steps": 15}, 11, False, None),
        ({"max_later_steps": 15}, 7, False, 10),
    ],
)
def test_a_later_stage_tells_the_steps_of_the_base(changes, run_steps, is_empty, steps):
    assert schedule_steps(dataclasses.replace(SETTINGS, **changes), run_steps, is_empty) == steps


def run(model, side, steps=4):
    latent = {"samples": torch.zeros(1, 4, side // 8, side // 8)}
    texts = conditioning("red apple"), conditioning("")
    host_nodes.KSampler().sample(model, 0, steps, 3.0, "euler", "normal", *texts, latent)


@pytest.mark.parametrize("side", [64, 128])
def test_any_sampler_run_of_a_patched_model_is_timed(side):
    model = demo_checkpoint()[0]
    run(model, side)
    kind = type(model.model).__name__
    assert STEP_TIMES.of(kind, Size(64, 64)) is None
    run(patched(model, base_width=64, base_height=64), side)
    found = STEP_TIMES.of(kind, Size(64, 64))
    assert 0 < found.step_seconds < 10
    assert found.steps == 4


@pytest.mark.parametrize(("drawn", "end"), [(True, 10000), (False, 2)])
def test_image_to_image_and_a_part_of_the_schedule_at_the_base_size_tell_nothing(drawn, end):
    model = patched(demo_checkpoint()[0], base_width=64, base_height=64)
    latent = {"samples": torch.full((1, 4, 8, 8), 0.5 * drawn)}
    texts = conditioning("red apple"), conditioning("")
    settings = (0, 4, 3.0, "euler", "normal", *texts, latent, 0, end, "enable")
    host_nodes.KSamplerAdvanced().sample(model, "enable", *settings)
    assert STEP_TIMES.of(type(model.model).__name__, Size(64, 64)) is None


def test_the_demo_model_is_of_the_kind_that_the_plan_is_for():
    assert type(demo_checkpoint()[0].model).__name__ == "SDXL"
