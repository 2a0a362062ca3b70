"""`dev.py bench quality --finished`: a run goes on where another machine stopped, without its images."""

import dataclasses
import json
import shutil
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest

from tools.bench.picture_quality import experiment, features, page, results
from tools.bench.picture_quality.answers import STANDINGS, answers, ideas
from tools.bench.picture_quality.experiment import Extent, Subject
from tools.bench.picture_quality.families import FAMILIES, KSAMPLER
from tools.bench.picture_quality.figures import JUDGED, figure, weights_of
from tools.bench.picture_quality.finished import Finished
from tools.bench.picture_quality.painter import Sampling
from tools.bench.picture_quality.results import Results
from tools.bench.picture_quality.store import Store

PROMPTS = ("owl at night", "fox in a meadow", "red car", "bus", "frog")
SUBJECT = Subject("model", 64, PROMPTS, Sampling(3.0, 4), renders=False)
EXTENT = Extent(at_2x=10, elsewhere=4, references=5)
TABLES = experiment.tables(64, EXTENT)
TABLE = TABLES[0]
USED = [FAMILIES["hires_fix"], FAMILIES["freescale"]]
CURVE_REACHES = ("freescale_0.5", "freescale_1")
"""Points whose sharpness lies between those of hires-fix's here."""
COMMON = {"checkpoint": "0123456789abcdef", "host": "any", "unet": "any"}
UNFINISHED = "freescale_0.5"
BLOCKS = 4


SHARES = {
    **{f"hires_fix_{value:g}": 0.05 + 0.3 * value for value in FAMILIES["hires_fix"].values},
    "balanced_0.5": 0.2,
    "no_dilation_0.5": 0.2,
    "temperature_0.5": 0.2,
    "temperature_0.7": 0.9,
    **{f"{KSAMPLER}_{value:g}": 0.05 + 0.3 * value for value in FAMILIES[KSAMPLER].values},
    **{f"freescale_{value:g}": 0.15 + 0.06 * value for value in FAMILIES["freescale"].values},
}
"""Point -> how much of its images is fine noise: the more, the sharper."""


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
    """An image of its job: the base image's blocks, finer with a larger knob, so that points have curves."""
    name = job.point.name if job.point else ""
    shot = [*map(ord, job.text), job.seed]
    side = (TABLE.base if job.point is None else TABLE.target)[0]
    coarse = np.random.default_rng(shot).integers(0, 256, (BLOCKS, BLOCKS, 3))
    coarse = coarse.repeat(side // BLOCKS, 0).repeat(side // BLOCKS, 1)
    fine = np.random.default_rng([*shot, *map(ord, name)]).integers(0, 256, (side, side, 3))
    share = 0.0 if job.point is None else SHARES[job.point.name]
    return ((1 - share) * coarse + share * fine).astype(np.uint8)


def made(folder, jobs, code="1"):
    store = Store(folder, COMMON, code)
    for job in jobs:
        store.save(job.key, noise(job))
        twice = job.point is not None and job.point.family.name == KSAMPLER
        store.save_cost(job.point_key, {"flops": 2e12 if twice else 1e12, "calls": 4})
    return store


@pytest.fixture(scope="module", autouse=True)
def judges_without_networks_and_few_draws():
    def seen(judge, images):
        rows = images.mean(dim=(2, 3)).numpy()
        return rows, np.log(rows / rows.sum(axis=1, keepdims=True))

    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(features, "seen", seen)
        patches.setattr(results, "weights_of", partial(weights_of, resamples=100))
        yield


@pytest.fixture(scope="module")
def run_once(tmp_path_factory):
    """The folder of a run that lacks one image of a point, with its figures beside the images."""
    folder = tmp_path_factory.mktemp("run")
    plan = experiment.plan(SUBJECT, [TABLE], USED, EXTENT)
    lacking = next(job for job in plan if job.point and job.point.name == UNFINISHED)
    store = made(folder / "first", [job for job in plan if job is not lacking])
    run = Run(store, Finished(None, SUBJECT, TABLES, store))
    (folder / "page").mkdir()
    page.write_figures(folder / "page", [run.results], run.finished, missing=1)
    return folder


@pytest.fixture
def first(tmp_path, run_once):
    """That run, in a copy of the test's own."""
    shutil.copytree(run_once, tmp_path, dirs_exist_ok=True)
    store = Store(tmp_path / "first", COMMON, "1")
    return Run(store, Finished(None, SUBJECT, TABLES, store))


@pytest.fixture
def second(tmp_path, first):
    """A machine that has those figures and no images."""
    store = Store(tmp_path / "second", COMMON, "1")
    return Run(store, Finished(tmp_path / "page", SUBJECT, TABLES, store))


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


def test_every_row_says_how_it_stands_to_each_curve_but_its_own(first, tmp_path):
    rows = json.loads((tmp_path / "page" / "quality.json").read_text())["tables"]["2x"]["rows"]
    for name in CURVE_REACHES:
        assert set(rows[name]["against"]["hires_fix"]) == set(JUDGED), name
    own = {name: set(row["against"]) & {name.rpartition("_")[0]} for name, row in rows.items()}
    assert not any(own.values())
    assert "freescale" in rows["hires_fix_0.5"]["against"]


def test_a_run_in_two_pieces_says_what_one_in_a_piece_says(tmp_path, second):
    whole_store = made(tmp_path / "whole", second.plan)
    whole = Run(whole_store, Finished(None, SUBJECT, TABLES, whole_store)).results
    made(tmp_path / "second", second.finished.left_of(second.plan))
    both = second.results
    for name in CURVE_REACHES:
        expected, got = (run.against(name, "hires_fix") for run in (whole, both))
        assert set(expected) == set(got) == set(JUDGED), name
        for measure, verdict in expected.items():
            assert got[measure].at_sharpness == pytest.approx(verdict.at_sharpness, rel=1e-3, abs=1e-6)
            assert got[measure].at_consistency == pytest.approx(verdict.at_consistency, rel=1e-3, abs=1e-6)
            assert got[measure].word == verdict.word
        assert both.cost_ratio(name) == pytest.approx(whole.cost_ratio(name))
    (tmp_path / "page2").mkdir()
    page.write_figures(tmp_path / "page2", [both], second.finished, missing=0)
    third = Finished(tmp_path / "page2", SUBJECT, TABLES, second.store)
    assert third.left_of(second.plan) == []
    assert json.loads((tmp_path / "page2" / "quality.json").read_text())["made_with"]["missing"] == 0


def test_the_sceptics_answers_count_the_verdicts(first):
    ours, parts, nothing, size = (sentences for _, sentences in answers(SUBJECT, [first.results]))
    names = first.results.families["freescale"]
    words = [v.word for n in names for v in first.results.against(n, "hires_fix").values()]
    named = [line for line in ours if " against hires-fix: of " in line]
    assert (
        len(named) == 1
        and f"{words.count('better')} are better, {words.count('worse')} are worse" in named[0]
    )
    assert len([line for line in ours if "minus hires-fix" in line]) == len(names)
    assert parts == ["Not answered: there are too few images yet."]
    assert len([line for line in nothing if "FreeScale, alpha" in line]) == len(names)
    assert size[0] == f"2x: 9 to 10 images a point, {len(PROMPTS)} prompts."


def test_the_cost_is_over_that_of_the_named_curve(tmp_path):
    families = [FAMILIES[name] for name in ("hires_fix", KSAMPLER, "freescale")]
    store = made(tmp_path, experiment.plan(SUBJECT, [TABLE], families, EXTENT))
    found = Results(SUBJECT, TABLE, families, EXTENT, store, Finished(None, SUBJECT, TABLES, store))
    (_, ours), *_ = answers(SUBJECT, [found])
    said = [line for line in ours if "operations of FreeScale over those of " in line]
    expected = {"hires-fix": 1.0, "hires-fix by KSampler's denoise": 0.5}
    for line, (label, ratio) in zip(said, expected.items(), strict=True):
        assert f"over those of {label} at the same sharpness, by alpha: " in line
        assert f"{ratio:.2f} at 0.5" in line


@pytest.mark.parametrize(
    ("changed", "label"), [("balanced", "speed Balanced"), ("no_dilation", "FreeScale without dilation")]
)
def test_a_speed_and_a_missing_part_are_held_against_exact_at_the_same_alpha(changed, label, tmp_path):
    families = [FAMILIES["freescale"], FAMILIES[changed]]
    plan = experiment.plan(SUBJECT, [TABLE], families, EXTENT)
    asked = [job for job in plan if not job.point or job.point.value == 0.5]
    store = made(tmp_path, asked)
    found = Results(SUBJECT, TABLE, families, EXTENT, store, Finished(None, SUBJECT, TABLES, store))
    _, parts, *_ = (sentences for _, sentences in answers(SUBJECT, [found]))
    (said,) = [line for line in parts if "at the same alpha, as they stand" in line]
    one, exact = (found.samples(name)["consistency"] for name in (f"{changed}_0.5", "freescale_0.5"))
    value, low, high = figure(one - exact)
    assert said.startswith(f"2x, {label}, alpha 0.5 minus FreeScale (Exact) at the same alpha, as they ")
    assert f"consistency {value:+.3g}, {low:+.3g} to {high:+.3g}, repetition " in said


def test_an_idea_is_told_how_it_stands_to_every_rival_that_has_a_curve(tmp_path):
    """The sharper of its points lies beyond hires-fix's curve."""
    families = [FAMILIES["hires_fix"], FAMILIES["temperature"]]
    store = made(tmp_path, experiment.plan(SUBJECT, [TABLE], families, EXTENT))
    found = Results(SUBJECT, TABLE, families, EXTENT, store, Finished(None, SUBJECT, TABLES, store))
    near, far = ideas(found)
    standing = found.standing("temperature_0.5", "hires_fix")
    assert standing != "not comparable"
    assert near == f"**idea: attention temperature, restart 0.5**: {STANDINGS[standing]} hires-fix."
    assert far == "**idea: attention temperature, restart 0.7**: not comparable with hires-fix."


def test_a_half_made_point_is_not_compared_with_finished_ones(tmp_path, second):
    """Their draws are over all images, and cannot be taken over some."""
    jobs = second.finished.left_of(second.plan)
    half = [job for job in jobs if job.point][: TABLE.images // 2]
    made(tmp_path / "second", [*(job for job in jobs if not job.point), *half])
    assert second.results.images(UNFINISHED) == TABLE.images // 2
    assert second.results.against(UNFINISHED, "hires_fix") == {}
    assert second.results.against("freescale_1", "hires_fix")


def test_a_half_made_point_of_a_curve_leaves_the_rest_of_it_to_compare_with(tmp_path, first):
    half = first.results.points["hires_fix_0.8"]
    jobs = [job for job in first.plan if job.point == half]
    for job in jobs[1:]:
        first.store._path(job.key).unlink()
    page.write_figures(tmp_path / "page", [first.results], first.finished, missing=6)
    store = made(tmp_path / "third", [job for job in first.plan if job.point is None] + jobs[:3])
    third = Run(store, Finished(tmp_path / "page", SUBJECT, TABLES, store)).results
    assert third.images("hires_fix_0.8") == 3
    assert third.against("freescale_1", "hires_fix")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"code": "2"}, "code"),
        ({"unet": "bfloat16"}, "unet"),
        ({"prompts": ("owl", "fox", "car", "bus", "cat")}, "prompts, draws"),
        ({"images": 12}, "images, draws"),
    ],
)
def test_points_made_otherwise_are_refused(tmp_path, first, changes, said):
    subject = dataclasses.replace(SUBJECT, prompts=changes.get("prompts", PROMPTS))
    tables = experiment.tables(64, EXTENT._replace(at_2x=changes.get("images", EXTENT.at_2x)))
    unet = {"unet": changes["unet"]} if "unet" in changes else {}
    store = Store(tmp_path / "third", COMMON | unet, changes.get("code", "1"))
    with pytest.raises(SystemExit, match=f"Expected finished points made with the same {said}, got others"):
        Finished(tmp_path / "page", subject, tables, store)


def test_points_of_another_code_are_taken_if_asked_for_and_the_page_says_so(tmp_path, first):
    store = Store(tmp_path / "third", COMMON, "2", any_code=True)
    finished = Finished(tmp_path / "page", SUBJECT, TABLES, store)
    assert finished.has("2x", "freescale_1")
    assert finished.made_with["code"] == "several states"


def test_a_folder_without_a_page_is_refused_with_a_sentence(tmp_path):
    store = Store(tmp_path / "third", COMMON, "1")
    with pytest.raises(SystemExit, match="Expected quality.json and quality_draws.npz in .*leave out"):
        Finished(tmp_path, SUBJECT, TABLES, store)
