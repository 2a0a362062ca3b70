"""The measures of `dev.py bench quality`, on pictures whose values are known."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from tools import ROOT
from tools.bench.picture_quality import report, settings
from tools.bench.picture_quality.figures import Figure, figure, kid, mean, weights_of
from tools.bench.picture_quality.jobs import Job, base_jobs, method_jobs
from tools.bench.picture_quality.metrics import consistency, repetition, resized, sharpness
from tools.bench.picture_quality.store import Store
from tools.demo.contact_sheet import save_contact_sheet
from tools.demo.train.concepts import CONCEPTS, PLACES

BASE = 128


def scene(height=BASE, width=BASE, seed=0):
    """A light picture with one dark thing of discs and bars in its middle, each scene another thing."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    picture = torch.full((height, width), 0.9)
    for value in (0.2, 0.7, 0.1, 0.5):
        a, b, c, d = (torch.rand(4, generator=generator) - 0.5).tolist()
        picture[(y - a) ** 2 + (x - b) ** 2 < (0.1 + 0.3 * abs(c)) ** 2] = value
        picture[((y - c).abs() < 0.08) & ((x - d).abs() < 0.3)] = 1 - value
    return picture[None, None].repeat(1, 3, 1, 1)


def enlarged(picture, factor):
    return resized(picture, [side * factor for side in picture.shape[2:]])


@pytest.mark.parametrize(("height", "width", "factor"), [(BASE, BASE, 2), (BASE, BASE, 4), (96, 160, 2)])
def test_a_tiling_repeats_itself_and_one_thing_does_not(height, width, factor):
    base = scene(height, width)
    assert repetition(base.repeat(1, 1, factor, factor), base) > 0.85
    assert repetition(enlarged(base, factor), base) < 0.01


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_several_things_and_copies_inside_a_thing_are_repetition_but_new_detail_is_not(seed):
    base = scene(seed=seed)
    large = enlarged(base, 2)
    several, inside = torch.full_like(large, 0.9), large.clone()
    for top, left in ((10, 20), (120, 100), (30, 128)):
        several[..., top : top + BASE, left : left + BASE] = base
    for top, left in ((80, 90), (80, 150), (140, 90), (140, 150)):
        inside[..., top : top + 50, left : left + 50] = resized(base, [50, 50])
    noise = torch.randn(large.shape, generator=torch.Generator().manual_seed(0))
    detailed = (large + 0.05 * noise).clamp(0, 1)
    assert repetition(several, base) > 0.7
    assert repetition(inside, base) > 0.1
    assert repetition(detailed, base) < 0.05


def test_what_the_base_picture_repeats_is_not_held_against_its_enlargement():
    base = scene(64, 64).repeat(1, 1, 2, 2)
    assert repetition(enlarged(base, 2), base) < 0.05


def test_consistency_is_1_for_the_base_enlarged_and_lower_for_another_thing():
    base = scene()
    assert consistency(enlarged(base, 2), base) > 0.95
    assert consistency(enlarged(scene(seed=1), 2), base) < 0.85


def test_sharpness_is_the_share_above_the_base_sizes_limit():
    x = torch.arange(256) / 256

    def wave(cycles):
        return (0.5 + 0.4 * torch.sin(2 * torch.pi * cycles * x)).expand(1, 3, 256, 256)

    assert sharpness(wave(20), (128, 128)) < 0.001  # a base of 128 px holds 64 cycles
    assert sharpness(wave(100), (128, 128)) > 0.999
    assert sharpness((wave(20) + wave(100)) / 2, (128, 128)) == pytest.approx(0.5, abs=0.01)


def linear_kid(made, reference, weights, crops=1):
    made, reference = (np.array(values, dtype=float)[:, None] for values in (made, reference))
    kernels = made @ made.T, made @ reference.T, reference @ reference.T
    return kid(*kernels, crops, np.array(weights, dtype=float))


def test_kid_by_hand():
    """Kernel a b: made 1, 3 (their pair: 3), reference 2, 4 (8), across all pairs (1 + 3) (2 + 4) / 4 = 6."""
    once, weighted, single = linear_kid([1, 3], [2, 4], [[1, 1], [3, 1], [2, 0]])
    assert once == pytest.approx(3 + 8 - 2 * 6)
    assert weighted == pytest.approx(3 + 8 - 2 * (3 * 1 + 3) / 4 * 3)
    assert math.isnan(single)  # one picture has no pair


def test_crops_of_one_picture_are_no_pair():
    """Crops 1, 3 | 5, 7 of two pictures: pairs across pictures alone, (1 + 3) (5 + 7) / 4 = 12."""
    assert linear_kid([1, 3, 5, 7], [0] * 4, [[1, 1]], crops=2) == pytest.approx(12)


def test_intervals_draw_whole_prompts():
    weights = weights_of(["a", "a", "b", "b"])
    sample, same = mean([0.0, 0.0, 1.0, 1.0], weights), mean([0.5] * 4, weights)
    assert figure(sample, sample) == Figure(0.5, (0.0, 1.0))
    assert figure(same, None) == Figure(0.5, (0.5, 0.5))
    assert figure(sample, same) == Figure(0.5, (0.0, 1.0), (0.0, -0.5, 0.5))
    assert all(map(math.isnan, figure(mean([0.0, 1.0], weights_of(["a", "a"])), None).interval))


def test_findings_say_better_worse_or_no_difference_shown():
    table = {
        "full": {"kid": Figure(0.001), "repetition": Figure(0.1), "consistency": Figure(0.9)},
        "direct": {
            "kid": Figure(0.003, None, (0.002, 0.001, 0.003)),
            "repetition": Figure(0.05, None, (-0.05, -0.06, -0.04)),
            "consistency": Figure(0.85, None, (-0.05, -0.1, 0.01)),
            "sharpness": Figure(0.5, None, (0.1, 0.1, 0.1)),
        },
    }
    table["render"] = table["direct"]  # no method: nothing to say about it
    said = (
        "**Direct** against FreeScale: worse in KID of the whole (+2.00, +1.00 to +3.00); better in "
        "repetition (-0.05, -0.06 to -0.04); no difference shown in consistency (-0.05, -0.10 to +0.01)."
    )
    assert report.findings({"direct": "Direct", "full": "FreeScale"}, table, {"direct": "full"}) == [said]
    assert report.as_data(table)["direct"]["repetition"] == {
        "value": 0.05,
        "difference": [-0.05, -0.06, -0.04],
    }
    assert report.as_data({"full": {"kid": Figure(math.nan)}})["full"]["kid"] == {"value": None}


def test_tables_show_values_with_their_intervals():
    kid, repeated = Figure(0.00123, (0.001, 0.002)), Figure(0.1, (math.nan, math.nan))
    table = {"full": {"kid": kid, "fd": Figure(44.4), "repetition": repeated}}
    assert report.header()[:3] == ["", "KID of the whole, x 1000", "FD of the whole"]
    assert report.rows({"full": "FreeScale"}, table) == [
        ["FreeScale", "1.23 (1.00 to 2.00)", "44", "", "", "0.10", "", ""]
    ]


def test_a_stored_picture_is_found_again_but_not_under_other_settings_or_code(tmp_path):
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    store = Store(tmp_path, {"checkpoint": "a"}, code="1")
    store.save({"text": "owl"}, picture)
    assert np.array_equal(Store(tmp_path, {"checkpoint": "a"}, code="1").picture({"text": "owl"}), picture)
    assert store.has({"text": "owl"})
    assert not store.has({"text": "fox"})
    assert not Store(tmp_path, {"checkpoint": "b"}, code="1").has({"text": "owl"})
    assert not Store(tmp_path, {"checkpoint": "a"}, code="2").has({"text": "owl"})
    assert Store(tmp_path, {"checkpoint": "a"}, code="2", any_code=True).has({"text": "owl"})


def test_a_picture_whose_writing_was_interrupted_is_missing(tmp_path, monkeypatch):
    store = Store(tmp_path, {}, code="1")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("tools.bench.picture_quality.store.os.replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.save({"text": "owl"}, np.zeros((4, 4, 3), np.uint8))
    assert not store.has({"text": "owl"})


def test_every_picture_has_a_key_of_its_own_and_seeds_come_one_after_the_other():
    groups = settings.groups(settings.FULL_TABLE, list(settings.EXTRA))
    jobs = method_jobs(groups)
    for group in groups:
        keys = [str(job.key) for job in method_jobs([group])]
        assert len(keys) == len(set(keys)) == len(group.methods) * group.prompts * len(group.seeds)
    seeds = [job.seed for job in jobs]
    assert seeds == sorted(seeds)
    assert len(base_jobs(groups[0], settings.REFERENCE_SEEDS)) == 112
    assert not set(settings.SEEDS) & set(settings.REFERENCE_SEEDS)


def test_every_table_has_a_title_and_rows_to_compare_with():
    groups = settings.groups(settings.FULL_TABLE, list(settings.EXTRA))
    assert [group.name for group in groups] == list(settings.TABLES)
    for group in [*groups, settings.groups(settings.FULL_TABLE, ["parts"])[-1]]:
        assert {method.against for method in group.methods.values()} <= set(group.methods)


def test_a_row_compared_with_another_one_is_the_same_picture():
    method = settings.METHODS["full"]
    group = settings.groups(settings.SMOKE)[0]
    jobs = [Job(group, "full", replace(method, against=name), "owl", 1) for name in ("full", "direct")]
    assert jobs[0].key == jobs[1].key


def test_the_demo_model_was_taught_every_prompt():
    assert all(concept in CONCEPTS and place in PLACES for concept, place in settings.PROMPTS)


def test_a_sheet_shows_rows_and_columns(tmp_path):
    picture = Image.new("RGB", (60, 40), "grey")
    save_contact_sheet(tmp_path / "sheet.jpg", ["a", "b"], [[picture, picture]] * 3, side=60)
    with Image.open(tmp_path / "sheet.jpg") as sheet:
        assert sheet.size == (2 * 68 + 8, 44 + 3 * 48)


def test_the_page_holds_what_a_person_saw_in_pictures_of_the_same_checkpoint():
    text = (ROOT / "tools" / "bench" / "quality_findings.md").read_text(encoding="utf-8")
    first, findings = text.split("\n", 1)
    made_with = json.loads((ROOT / "docs" / "quality.json").read_text(encoding="utf-8"))["made_with"]
    assert made_with["checkpoint"][:12] in first
    assert findings.strip() in (ROOT / "docs" / "QUALITY.md").read_text(encoding="utf-8")
