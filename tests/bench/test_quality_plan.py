"""What `dev.py bench quality` makes in which order, and what its page says of given figures."""

import dataclasses
from argparse import Namespace

import numpy as np
import pytest

from tools.bench.picture_quality import experiment, run
from tools.bench.picture_quality.answers import told
from tools.bench.picture_quality.curves import ONE_AXIS, Verdict
from tools.bench.picture_quality.experiment import (
    DEMO_PROMPTS,
    FULL,
    REFERENCE_SEED,
    ROUND,
    SMOKE,
    Job,
    Subject,
)
from tools.bench.picture_quality.families import ALL, FAMILIES, OURS, REFERENCE
from tools.bench.picture_quality.figures import Figure, heading
from tools.bench.picture_quality.make import make
from tools.bench.picture_quality.page import _cell
from tools.bench.picture_quality.painter import Sampling
from tools.bench.picture_quality.sheets import SHEETS
from tools.bench.picture_quality.store import Store
from tools.demo.train.concepts import CONCEPTS, PLACES

PROMPTS = tuple(" ".join(words) for words in DEMO_PROMPTS)
SUBJECT = Subject("model", 256, PROMPTS, Sampling(3.0, 20), renders=True)
TABLES = experiment.tables(256, FULL)


def plan():
    return experiment.plan(SUBJECT, TABLES, ALL, FULL)


def test_every_image_is_made_once_under_a_key_of_its_own():
    keys = [str(job.key) for job in plan()]
    assert len(keys) == len(set(keys))
    points = [len(experiment.points(table, ALL, FULL)) for table in TABLES]
    images = sum(table.images * count for table, count in zip(TABLES, points, strict=True))
    bases = [job for job in plan() if job.point is None]
    assert len(keys) == images + len(bases)


def test_references_have_other_seeds_and_at_2x_there_are_40_images_a_point_elsewhere_20():
    assert [table.images for table in TABLES] == [40, 20, 20]
    for table in TABLES:
        seeds = {job.seed for job in experiment.references(SUBJECT, table, FULL)}
        assert min(seeds) >= REFERENCE_SEED > max(seed for _, seed in experiment.shots(SUBJECT, 40))


def test_a_run_that_is_cut_short_has_the_bases_then_the_curves_that_matter_most():
    jobs = plan()
    first = next(i for i, job in enumerate(jobs) if job.point)
    assert all(job.point for job in jobs[first:])
    ranks = [(job.point.family.rank + (job.table.name != "2x"), job.table.name) for job in jobs[first:]]
    assert ranks == sorted(ranks) and ranks[0] == (1, "2x")
    one_round = {job.point.name: 0 for job in jobs[first:] if job.point.family.rank == 1}
    for job in jobs[first : first + ROUND * len(one_round)]:
        one_round[job.point.name] += 1
    assert set(one_round.values()) == {ROUND}
    assert {OURS, REFERENCE} <= {name.rpartition("_")[0] for name in one_round}


def test_every_table_has_our_curve_and_the_reference_and_the_sheets_show_known_points():
    names = set()
    for table in TABLES:
        points = experiment.points(table, ALL, FULL)
        assert {OURS, REFERENCE} <= {point.family.name for point in points}
        names |= {point.name for point in points}
    assert {name for sheet in SHEETS.values() for name in sheet} <= names


def test_the_smoke_size_asks_every_family_once_in_its_first_table():
    points = {t.name: experiment.points(t, ALL, SMOKE) for t in experiment.tables(64, SMOKE)}
    for family in ALL:
        assert sum(point.family == family for point in points[family.tables[0]]) == 1, family.name
    assert len(points["2x"]) > len(points["4x"]) > len(points["wide"])
    # Two need packages of their own.
    assert {family.name for family in ALL} - set(FAMILIES) <= {"upscale_model", "true_images"}


@pytest.mark.parametrize(
    ("renders", "names", "tables"), [(True, ["hires_fix_half"], ["wide"]), (False, ["true_images"], None)]
)
def test_a_choice_without_a_point_is_refused(renders, names, tables, monkeypatch):
    monkeypatch.setitem(run.FAMILIES, "true_images", next(f for f in ALL if f.name == "true_images"))
    subject = dataclasses.replace(SUBJECT, renders=renders)
    with pytest.raises(SystemExit, match="Expected families that have points in the tables, got none"):
        run.chosen(Namespace(families=names, tables=tables), subject, FULL)


def test_a_checkpoint_without_true_images_leaves_them_out():
    subject = dataclasses.replace(SUBJECT, renders=False)
    _, families = run.chosen(Namespace(families=None, tables=None), subject, FULL)
    assert [f.name for f in families] == [n for n in FAMILIES if n != "true_images"]


def test_the_demo_model_was_taught_every_prompt():
    assert all(concept in CONCEPTS and place in PLACES for concept, place in DEMO_PROMPTS)


def test_what_is_missing_is_made_until_time_is_up_and_the_next_run_goes_on(tmp_path, monkeypatch, capsys):
    made, now = [], [0.0]

    def make_one(job, painter, store, base):
        made.append(job)
        now[0] += 1.0
        store.save(job.key, np.zeros((8, 8, 3), np.uint8))

    class NoPainter:
        def base_latent(self, *args):
            return {}

    monkeypatch.setattr("tools.bench.picture_quality.make._make_one", make_one)
    monkeypatch.setattr("tools.bench.picture_quality.make.time.monotonic", lambda: now[0])
    jobs = [Job(TABLES[0], None, "owl", seed) for seed in range(5)]
    store = Store(tmp_path, {}, code="1")
    assert make(jobs, NoPainter(), store, deadline=1.5) == 3
    assert make(jobs, NoPainter(), store, deadline=100.0) == 0
    assert made == jobs
    assert "3 images are missing" in capsys.readouterr().out


def test_verdicts_say_better_worse_or_no_difference_shown():
    verdicts = {
        "repetition": Verdict(Figure(-0.05, -0.06, -0.04), Figure(-0.03, -0.04, -0.02), "better"),
        "kid": Verdict(Figure(0.002, 0.001, 0.003), Figure(0.003, 0.002, 0.004), "worse"),
        "kid_crops": Verdict(Figure(-0.05, -0.1, 0.01), Figure(0.0, -0.01, 0.01), "not shown"),
    }
    assert told(verdicts) == (
        "better in repetition (-0.05, -0.06 to -0.04 | -0.03, -0.04 to -0.02); "
        "worse in KID of the whole (+2, +1 to +3 | +3, +2 to +4); "
        "no difference shown in KID of crops (-50, -100 to +10 | +0, -10 to +10)"
    )
    assert told({}).startswith("not comparable")
    by_two = verdicts["kid"]._replace(second=(Figure(0.001, 0.0, 0.002), Figure(0.002, 0.001, 0.003)))
    assert told({"kid": by_two}) == (
        "worse in KID of the whole (+2, +1 to +3 | +3, +2 to +4; by Lite0 +1, +0 to +2 | +2, +1 to +3)"
    )
    unknown = Figure(*[float("nan")] * 3)
    one_axis = {"repetition": Verdict(Figure(-0.05, -0.06, -0.04), unknown, ONE_AXIS)}
    assert told(one_axis) == (
        "on one axis alone, which gives no verdict: repetition (-0.05, -0.06 to -0.04 | -)"
    )


@pytest.mark.parametrize(
    ("measure", "figure", "cell"),
    [
        ("kid", Figure(0.00123, 0.001, 0.002), "1.23 (1.00 to 2.00)"),
        ("repetition", Figure(0.1, float("nan"), float("nan")), "0.10"),
        ("is", Figure(44.4, 44.0, 45.0), "44 (44 to 45)"),
    ],
)
def test_tables_show_values_with_their_intervals(measure, figure, cell):
    assert _cell(measure, figure) == cell
    assert heading("kid") == "KID of the whole, x 1000"
