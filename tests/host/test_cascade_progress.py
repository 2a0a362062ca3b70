"""The progress of a cascade: one bar over all stages, previews, and the pictures of finished stages."""

import dataclasses
from types import SimpleNamespace

import comfy.utils
import latent_preview
import pytest
import torch
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.planning.cost import fused_cost, transformer_cost, unet_operations
from freescale_pack.freescale_core.planning.plan import CascadePlan
from freescale_pack.freescale_core.settings import FreeScaleSettings
from freescale_pack.nodes import cascade_node
from freescale_pack.nodes.backbones.backbone import backbone_of
from freescale_pack.nodes.cascade import progress as progress_module
from freescale_pack.nodes.cascade.progress import CascadeProgress, StageWork
from freescale_pack.nodes.cascade.run import StageResult, run_cascade
from freescale_pack.nodes.cascade.stages import SamplerChoice, Stage
from freescale_pack.nodes.cascade.start import FromLatent
from freescale_pack.nodes.cascade_node import FreeScaleCascade

from tools.harness.demo_checkpoint import conditioning, demo_checkpoint

from .cascades import patched


class Bar:
    """Stands for the host's progress bar: what it was told, one entry each time."""

    def __init__(self, total):
        self.told = Bar.last = []
        Bar.total = total

    def update_absolute(self, value, total=None, preview=None):
        self.told.append((value, total, preview))


class Previewer:
    def decode_latent_to_preview_image(self, kind, x0):
        return kind, tuple(x0.shape)


BASE, TWICE = Size(1024, 1024), Size(2048, 2048)
COST = round(fused_cost(BASE, TWICE, "exact") / unet_operations(BASE))


def stage(steps, settings=None):
    """A stage of so many steps, of which nothing but their number, the settings and the network is asked."""
    return SimpleNamespace(
        settings=settings or FreeScaleSettings(base=BASE),
        step_count=lambda: steps,
        backbone=backbone_of(demo_checkpoint()[0]),
    )


def work(number, steps):
    return StageWork(number, 1, (BASE, TWICE)[number], stage(steps))


@pytest.fixture(autouse=True)
def noted(monkeypatch):
    monkeypatch.setattr(comfy.utils, "ProgressBar", Bar)
    monkeypatch.setattr(latent_preview, "get_previewer", lambda device, latent_format: Previewer())


def test_the_bar_counts_on_from_stage_to_stage_and_shows_small_previews():
    progress = CascadeProgress(demo_checkpoint()[0], [work(0, 2), work(1, 1)])
    latent = torch.zeros(3, 4, 256, 128)
    for steps in (2, 1):
        callback = progress.next_stage()
        for step in range(steps):
            callback(step, latent, latent, steps)
    assert Bar.last == [(n, 2 + COST, ("JPEG", (1, 4, 128, 64))) for n in (1, 2, 2 + COST)]


def test_a_step_counts_what_it_costs_in_steps_of_the_cheapest_stage():
    """At 4k a step takes as long as 20 to 50 of the base, so a bar over steps would say half after an
    eighth."""
    sizes = [Size(1024, 1024), Size(2048, 2048), Size(4096, 4096)]
    parts = [StageWork(r, 2, size, stage(2, FreeScaleSettings())) for r, size in enumerate(sizes)]
    assert [round(part.step_cost / parts[0].step_cost) for part in parts] == [1, 8, 55]
    plain = StageWork(2, 2, sizes[2], stage(2, FreeScaleSettings(fusion=None)))
    assert round(plain.step_cost / parts[0].step_cost) == 43


def test_a_side_below_one_token_counts_as_one():
    """Found by `dev.py campaign fuzz`: a transformer takes 16 px a token, and 8 px cost nothing."""
    transformer = dataclasses.replace(stage(3).backbone, is_unet=False, patch=Size(2, 2))
    part = SimpleNamespace(**vars(stage(3)) | {"backbone": transformer})
    works = [StageWork(0, 1, Size(8, 64), part), StageWork(1, 1, Size(16, 128), part)]
    assert [work.step_cost for work in works] == [transformer_cost(4), transformer_cost(8)]
    CascadeProgress(demo_checkpoint()[0], works)
    assert Bar.total == 3 + 3 * 2


def test_a_step_with_neighbourhoods_counts_the_pairs_they_attend_to():
    transformer = dataclasses.replace(stage(3).backbone, is_unet=False, patch=Size(2, 2))
    settings = FreeScaleSettings(fusion=None, neighbourhoods=True)
    part = SimpleNamespace(**vars(stage(3, settings)) | {"backbone": transformer})
    base, large = (StageWork(r, 1, Size(side, side), part).step_cost for r, side in enumerate((1024, 4096)))
    assert base == transformer_cost(64 * 64)
    # 64 patches of 32 x 32 queries, each over 64 x 64 keys
    assert large == transformer_cost(256 * 256, pairs=64 * 32 * 32 * 64 * 64)


def test_the_node_says_which_stage_runs_and_how_long_it_will_take(monkeypatch):
    said = []
    clock = iter([0.0, 0.0, 10.0, 20.0, 100.0, 400.0, 400.0])
    monkeypatch.setattr(progress_module, "say_at_node", said.append)
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: next(clock))
    progress = CascadeProgress(demo_checkpoint()[0], [work(0, 2), work(1, 1)])
    latent = torch.zeros(1, 4, 8, 8)
    callback = progress.next_stage()
    callback(0, latent, latent, 2)
    callback(1, latent, latent, 2)
    with progress:
        progress.next_stage()(0, latent, latent, 1)
    assert said == [
        "base image, 1024x1024",
        f"base image, 1024x1024, about {10 * (1 + COST)} s left",
        f"base image, 1024x1024, about {10 * COST} s left",
        "stage 1 of 1, 2048x2048",
        "stage 1 of 1, 2048x2048, about 0 s left",
        "finished in 7 min",
    ]


def test_after_an_error_the_node_says_that_it_stopped(monkeypatch):
    said = []
    monkeypatch.setattr(progress_module, "say_at_node", said.append)
    with pytest.raises(ZeroDivisionError), CascadeProgress(demo_checkpoint()[0], []):
        raise ZeroDivisionError
    assert said == ["stopped after 0 s"]


def test_a_sampler_with_more_steps_than_the_schedule_moves_the_bar_no_further_than_its_stage():
    progress = CascadeProgress(demo_checkpoint()[0], [work(0, 2), work(1, 1)])
    latent = torch.zeros(1, 4, 8, 8)
    callback = progress.next_stage()
    for step in range(5):
        callback(step, latent, latent, 2)
    progress.next_stage()(0, latent, latent, 1)
    assert [value for value, *_ in Bar.last] == [1, 2, 2, 2, 2, 2 + COST]


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (99.4, "99 s"), (100, "2 min"), (3600, "60 min")]
)
def test_long_times_are_told_in_minutes(seconds, said):
    assert progress_module._duration(seconds) == said


def test_a_finished_picture_is_shown_without_moving_the_bar():
    progress = CascadeProgress(demo_checkpoint()[0], [work(0, 1)])
    progress.next_stage()(0, torch.zeros(1, 4, 8, 8), None, 1)
    progress.show(torch.tensor([[[[-1.0, 0.5, 2.0]]]]).expand(2, 4, 6, 3))
    value, total, (kind, image, side) = Bar.last[-1]
    assert (value, total, kind, side) == (1, 1, "JPEG", 1024)
    assert (image.size, image.getpixel((0, 0))) == ((6, 4), (0, 127, 255))


def test_a_cascade_shows_the_base_and_every_stage_once_and_ends_full():
    """ddim_uniform makes 7 steps out of 6; int(0.3 * 6) = 1 of them is skipped in each later stage."""
    model, _, vae = demo_checkpoint()
    choice = SamplerChoice(1, 6, 3.0, "euler", "ddim_uniform")
    texts = conditioning("red apple"), conditioning("")
    base = Stage(model, FreeScaleSettings(base=Size(64, 64)), *texts, choice)
    stages = [base, dataclasses.replace(base, start_step=1)]
    samples = torch.zeros(1, 4, 8, 8)
    empty = FromLatent({"samples": samples}, is_empty=True, source=samples)
    run_cascade(stages, vae, CascadePlan(Size(64, 64), (Size(96, 96),)), empty)
    cost = round(fused_cost(Size(64, 64), Size(96, 96), "exact") / unet_operations(Size(64, 64)))
    told = [*range(1, 8), 7, *(7 + cost * n for n in range(1, 7)), 7 + 6 * cost]
    assert [value[:2] for value in Bar.last] == [(n, 7 + 6 * cost) for n in told]
    pictures = [preview[1] for _, _, preview in Bar.last if not isinstance(preview[1], tuple)]
    assert [picture.size for picture in pictures] == [(64, 64), (96, 96)]


def test_the_node_shows_four_pictures_of_each_stage_none_larger_than_1024_px(monkeypatch):
    shown = []

    class Preview:
        def __init__(self, image, cls):
            shown.append(tuple(image.shape))
            self.values = [f"stage {len(shown)}"]

        def as_dict(self):
            return {"images": self.values}

    pictures = [torch.zeros(6, 512, 512, 3), torch.zeros(6, 1024, 2048, 3)]
    results = [StageResult({"samples": n}, picture) for n, picture in enumerate(pictures)]
    monkeypatch.setattr(cascade_node, "run_cascade", lambda *args: results)
    monkeypatch.setattr(cascade_node.ui, "PreviewImage", Preview)
    model, _, vae = demo_checkpoint()
    texts, start = (conditioning("red apple"), conditioning("")), {"samples": torch.zeros(1, 4, 64, 64)}
    model = patched(model, base_width=512, base_height=512)
    out = FreeScaleCascade.execute(model, *texts, vae, 0, 5, 3.0, "euler", "normal", 2.0, latent=start)
    assert shown == [(4, 512, 512, 3), (4, 512, 1024, 3)]
    assert out.ui.values == ["stage 1", "stage 2"]
    latent, image, stages = out.result
    assert latent is results[-1].latent
    assert image is pictures[-1]
    assert all(a is b for a, b in zip(stages, pictures, strict=True))
