"""`dev.py bench quality --finished`: a run goes on where another machine stopped, without its images."""

import json
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest

from tools.bench.picture_quality import experiment, features, page, results
from tools.bench.picture_quality.experiment import Extent, Subject
from tools.bench.picture_quality.families import FAMILIES
from tools.bench.picture_quality.figures import weights_of
from tools.bench.picture_quality.finished import Finished
from tools.bench.picture_quality.painter import Sampling
from tools.bench.picture_quality.results import Results
from tools.bench.picture_quality.store import Store

PROMPTS = ("owl at night", "fox in a meadow", "red car")
SUBJECT = Subject("model", 64, PROMPTS, Sampling(3.0, 4), renders=False)
EXTENT = Extent(at_2x=6, elsewhere=4, references=3)
TABLE = experiment.tables(64, EXTENT)[0]
USED = [FAMILIES["hires_fix"], FAMILIES["freescale"]]
COMMON = {"checkpoint": "0123456789abcdef", "host": "any", "unet": "any"}
UNFINISHED = "freescale_0.5"
BLOCK = 16


@dataclass
class Run:
    store: Store
    finished: Finished

    @property
    def plan(self):
        return experiment.plan(SUBJECT, [TABLE], USED, EXTENT)

    @property
    def results(self):
        return Results(SUBJECT, TABLE, USED, EXTENT, self.store, self.finished)


def noise(job):
    """An image of its job: finer with a larger knob, so that points have curves."""
    random = np.random.default_rng([*map(ord, job.text), job.seed])
    width, height = TABLE.base if job.point is None else TABLE.target
    coarse = random.integers(0, 256, (height // BLOCK, width // BLOCK, 3)).repeat(BLOCK, 0).repeat(BLOCK, 1)
    fine = random.integers(0, 256, (height, width, 3))
    share = 0.0 if job.point is None else min(1.0, 0.25 * job.point.value)
    return ((1 - share) * coarse + share * fine).astype(np.uint8)


def made(folder, jobs, code="1"):
    store = Store(folder, COMMON, code)
    for job in jobs:
        store.save(job.key, noise(job))
        store.save_cost(job.point_key, {"flops": 1e12, "calls": 4})
    return store


@pytest.fixture(autouse=True)
def judges_without_networks(monkeypatch):
    def seen(judge, images):
        rows = images.mean(dim=(2, 3)).numpy()
        return rows, np.log(rows / rows.sum(axis=1, keepdims=True))

    monkeypatch.setattr(features, "seen", seen)


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(results, "weights_of", partial(weights_of, resamples=100))


@pytest.fixture
def first(tmp_path):
    """A run that lacks one image of a point, and its page."""
    plan = experiment.plan(SUBJECT, [TABLE], USED, EXTENT)
    lacking = next(job for job in plan if job.point and job.point.name == UNFINISHED)
    store = made(tmp_path / "first", [job for job in plan if job is not lacking])
    run = Run(store, Finished(None, store))
    (tmp_path / "page").mkdir()
    page.write(tmp_path / "page", SUBJECT, [run.results], store, missing=1)
    return run


@pytest.fixture
def second(tmp_path, first):
    """A machine that has that page and no images."""
    store = Store(tmp_path / "second", COMMON, "1")
    return Run(store, Finished(tmp_path / "page", store))


def test_only_the_unfinished_point_is_left_and_the_base_images_it_needs(second):
    left = second.finished.left_of(second.plan)
    assert {job.point.name for job in left if job.point} == {UNFINISHED}
    assert sum(bool(job.point) for job in left) == TABLE.images
    assert [job for job in left if not job.point] == [job for job in second.plan if not job.point]


def test_figures_and_verdicts_are_those_of_the_images(first, second):
    names = [name for name in first.results.points if name != UNFINISHED]
    assert list(second.results.points) == names
    for name in names:
        for measure, expected in first.results.figures(name).items():
            got = second.results.figures(name)[measure]
            assert got == pytest.approx(expected, rel=2e-3, abs=2e-6), (name, measure)
        assert second.results.images(name) == TABLE.images
        assert second.results.cost(name) == first.results.cost(name)
    expected, got = (
        {(name, m): v.word for name in names for m, v in run.results.against(name, "hires_fix").items()}
        for run in (first, second)
    )
    assert got == expected != {}


def test_a_point_made_anew_stands_beside_finished_ones_and_then_nothing_is_left(tmp_path, second):
    made(tmp_path / "second", second.finished.left_of(second.plan))
    both = second.results
    assert both.images(UNFINISHED) == TABLE.images
    assert both.against(UNFINISHED, "hires_fix")
    (tmp_path / "page2").mkdir()
    page.write(tmp_path / "page2", SUBJECT, [both], second.store, missing=0)
    third = Finished(tmp_path / "page2", second.store)
    assert third.left_of(second.plan) == []
    assert json.loads((tmp_path / "page2" / "quality.json").read_text())["made_with"]["missing"] == 0


def test_a_half_made_point_is_not_compared_with_finished_ones(tmp_path, second):
    """Their draws are over all images, and cannot be taken over some."""
    jobs = second.finished.left_of(second.plan)
    half = [job for job in jobs if job.point][: TABLE.images // 2]
    made(tmp_path / "second", [*(job for job in jobs if not job.point), *half])
    assert second.results.images(UNFINISHED) == TABLE.images // 2
    assert second.results.against(UNFINISHED, "hires_fix") == {}


@pytest.mark.parametrize(("common", "code"), [(COMMON, "2"), (COMMON | {"unet": "bfloat16"}, "1")])
def test_points_made_otherwise_are_refused(tmp_path, first, common, code):
    with pytest.raises(SystemExit, match="Expected finished points made with (code 2|unet bfloat16), got"):
        Finished(tmp_path / "page", Store(tmp_path / "third", common, code))
