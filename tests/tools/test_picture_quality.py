"""The measures of `dev.py bench quality`, on images whose values are known."""

import json
import math
import os
import re
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from tools import ROOT
from tools.bench.picture_quality.curves import ONE_AXIS, compare, standing
from tools.bench.picture_quality.figures import (
    Figure,
    cubic_kernel,
    figure,
    inception_score,
    kid,
    mean,
    weights_of,
    weights_of_known,
)
from tools.bench.picture_quality.metrics import consistency, repetition, resized, sharpness
from tools.bench.picture_quality.store import Store
from tools.demo.contact_sheet import save_contact_sheet

BASE = 128


def scene(height=BASE, width=BASE, seed=0):
    """A light image with one dark thing of discs and bars in its middle, each scene another thing."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    image = torch.full((height, width), 0.9)
    for value in (0.2, 0.7, 0.1, 0.5):
        a, b, c, d = (torch.rand(4, generator=generator) - 0.5).tolist()
        image[(y - a) ** 2 + (x - b) ** 2 < (0.1 + 0.3 * abs(c)) ** 2] = value
        image[((y - c).abs() < 0.08) & ((x - d).abs() < 0.3)] = 1 - value
    return image[None, None].repeat(1, 3, 1, 1)


def enlarged(image, factor):
    return resized(image, [side * factor for side in image.shape[2:]])


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


def linear_kid(made, reference, weights, crops=(1, 1), prompts=("abcd", "efgh"), known=None):
    images = [len(values) // count for values, count in zip((made, reference), crops, strict=True)]
    made, reference = (np.array(values, dtype=float)[:, None] for values in (made, reference))
    kernels = made @ made.T, made @ reference.T, reference @ reference.T
    names = tuple(list(letters[:count]) for letters, count in zip(prompts, images, strict=True))
    known = np.ones((len(weights), images[1])) if known is None else np.array(known, dtype=float)
    return kid(*kernels, crops, (np.array(weights, dtype=float), known), names)


def test_kid_by_hand():
    """Kernel a b: made 1, 3 (their pair: 3), reference 2, 4 (8), across all pairs (1 + 3) (2 + 4) / 4 = 6."""
    once, weighted, single = linear_kid([1, 3], [2, 4], [[1, 1], [3, 1], [2, 0]])
    assert once == pytest.approx(3 + 8 - 2 * 6)
    assert weighted == pytest.approx(3 + 8 - 2 * (3 * 1 + 3) / 4 * 3)
    assert math.isnan(single)  # one image has no pair


def test_kid_is_against_known_images_of_the_prompts_at_hand():
    """Of the reference 2, 4, 9 the last one counts not: as if it were not there."""
    assert linear_kid([1, 3], [2, 4, 9], [[1, 1]], known=[[1, 1, 0]]) == pytest.approx(3 + 8 - 2 * 6)
    weights = np.array([[1.0, 1.0, 1.0], [2.0, 2.0, 0.0]])
    known = weights_of_known(["b", "c", "a"], ["a", "a", "b"], weights)
    assert known.tolist() == [[1, 0, 1], [0, 0, 2]]


def test_crops_of_one_image_are_no_pair():
    """Crops 1, 3 | 5, 7 of two images: pairs across images alone, (1 + 3) (5 + 7) / 4 = 12."""
    assert linear_kid([1, 3, 5, 7], [0] * 2, [[1, 1]], (2, 1)) == pytest.approx(12)
    assert linear_kid([0] * 2, [1, 3, 5, 7], [[1, 1]], (1, 2)) == pytest.approx(12)


def test_images_of_one_prompt_are_no_pair():
    """Across, 1 meets 4 and 3 meets 2: (4 + 6) / 2 = 5; of 1, 3, 5 with the prompts a, a, b the pairs are
    (1, 5) and (3, 5): (5 + 15) / 2 = 10."""
    assert linear_kid([1, 3], [2, 4], [[1, 1]], prompts=("ab", "ab")) == pytest.approx(3 + 8 - 2 * 5)
    assert linear_kid([1, 3, 5], [0] * 2, [[1, 1, 1]], prompts=("aab", "cd")) == pytest.approx(10)


def test_kid_of_drawn_prompts_lies_around_that_of_the_images_with_two_of_each_prompt_too():
    random = np.random.default_rng(0)
    names = [f"prompt {i}" for i in range(20)]
    means = random.normal(size=(20, 8))
    made, reference = (np.concatenate([means + 0.1 * random.normal(size=(20, 8))] * 2) for _ in range(2))
    kernels = cubic_kernel(made, made), cubic_kernel(made, reference), cubic_kernel(reference, reference)
    sample = kid(*kernels, (1, 1), (weights_of(names * 2),) * 2, (names * 2, names * 2))
    assert abs(sample[1:].mean() - sample[0]) < 0.2 * sample[1:].std()


def test_kids_kernel_is_the_cubic_one():
    assert cubic_kernel(np.array([[1.0, 2.0]]), np.array([[3.0, 1.0]])).item() == (5 / 2 + 1) ** 3


def test_the_inception_score_counts_the_classes_that_are_seen_for_sure():
    sure = np.log(np.array([[0.998, 0.001, 0.001], [0.001, 0.998, 0.001]]))
    weights = weights_of(["a", "b"])
    assert inception_score(sure, weights)[0] == pytest.approx(2, rel=0.03)
    assert inception_score(sure[[0, 0]], weights)[0] == pytest.approx(1)
    assert inception_score(np.full((2, 3), math.log(1 / 3)), weights)[0] == pytest.approx(1)


def test_intervals_draw_whole_prompts():
    weights = weights_of(["a", "a", "b", "b"])
    assert figure(mean([0.0, 0.0, 1.0, 1.0], weights)) == Figure(0.5, 0.0, 1.0)
    assert figure(mean([0.5] * 4, weights)) == Figure(0.5, 0.5, 0.5)
    assert all(map(math.isnan, figure(mean([0.0, 1.0], weights_of(["a", "a"])))[1:]))


WEIGHTS = weights_of([str(i) for i in range(20)])
UNEVEN = np.linspace(-0.1, 0.1, 20)
"""How the prompts differ in what is measured."""


def point(sharpness, kid, spread=UNEVEN, consistency=None, second=None):
    """A point whose images differ by prompt. Where nothing is said, consistency falls as sharpness grows, and
    the second judge finds the same KID."""
    consistency = 0.8 - 0.1 * math.log10(sharpness) if consistency is None else consistency
    values = {"sharpness": [sharpness] * 20, "kid": kid + spread, "kid_crops": [0.1] * 20}
    values |= {"kid_lite0": (kid if second is None else second) + spread, "kid_crops_lite0": [0.1] * 20}
    values |= {"repetition": [0.2] * 20, "consistency": [consistency] * 20}
    return {name: mean(of_prompts, WEIGHTS) for name, of_prompts in values.items()}


CURVE = [point(0.01, 1.0), point(1.0, 3.0), point(0.1, 2.0)]


@pytest.mark.parametrize(("kid", "word"), [(1.45, "better"), (1.55, "worse"), (1.5, "not shown")])
def test_a_point_is_compared_with_a_curve_at_its_own_sharpness_and_consistency(kid, word):
    """Halfway, on a log scale, between 0.01 and 0.1 the curve is at 1.5. The same prompts are drawn for both,
    so that what prompts differ by falls out."""
    found = compare(point(math.sqrt(0.01 * 0.1), kid), CURVE, "kid")
    assert found.word == word
    assert found.at_sharpness == pytest.approx((kid - 1.5,) * 3)
    assert found.at_consistency == pytest.approx((kid - 1.5,) * 3)


def test_a_lead_on_one_axis_alone_is_none():
    """1.45 is better than the curve at this sharpness, 1.5, and worse than at that consistency, 1.35."""
    sharpness = math.sqrt(0.01 * 0.1)
    consistency = 0.8 - 0.1 * math.log10(sharpness)
    found = compare(point(sharpness, 1.45, consistency=consistency + 0.015), CURVE, "kid")
    assert found.at_sharpness.high < 0 < found.at_consistency.low and found.word == "not shown"
    found = compare(point(10**-1.35, 1.6, consistency=consistency - 0.03), CURVE, "kid")
    assert found.at_consistency.high < 0 and found.at_sharpness.high < 0 and found.word == "better"


def test_prompts_that_disagree_leave_the_difference_open():
    found = compare(point(0.05, 1.45 + math.log10(5) - 0.5, -3 * UNEVEN), CURVE, "kid").at_sharpness
    assert found.low < 0 < found.high


@pytest.mark.parametrize("second", [1.55, 1.5])
def test_a_lead_in_kid_that_the_second_judge_does_not_see_is_none(second):
    found = compare(point(math.sqrt(0.01 * 0.1), 1.45, second=second), CURVE, "kid")
    assert found.at_sharpness.high < 0 and found.at_consistency.high < 0 and found.word == "not shown"
    assert found.second == (pytest.approx((second - 1.5,) * 3),) * 2


@pytest.mark.parametrize("sharpness", [0.009, 1.1])
def test_nothing_is_said_beyond_a_curves_ends_or_from_one_point(sharpness):
    assert compare(point(sharpness, 1.0), CURVE, "kid") is None
    assert compare(point(0.01, 1.0), CURVE[:1], "kid") is None
    assert standing(point(sharpness, 0.0), CURVE) == "not comparable"


@pytest.mark.parametrize(("sharpness", "consistency"), [(0.009, 0.9), (1.1, 0.9), (0.1, 1.1), (0.1, 0.7)])
def test_a_curve_that_reaches_a_point_on_one_axis_alone_gives_a_figure_and_no_verdict(sharpness, consistency):
    found = compare(point(sharpness, 1.0, consistency=consistency), CURVE, "kid")
    unknown = [math.isnan(one.value) for one in (found.at_sharpness, found.at_consistency)]
    assert unknown == [sharpness != 0.1, sharpness == 0.1] and found.word == ONE_AXIS
    assert standing(point(sharpness, 0.0, consistency=consistency), CURVE) == "not comparable"


def test_who_is_better_in_one_thing_and_worse_in_another_is_neither():
    better = point(0.1, 1.9)
    assert standing(better, CURVE) == "better"
    assert standing(point(0.1, 2.1), CURVE) == "worse"
    assert standing(point(0.1, 2.0), CURVE) == "neither"
    assert standing(better | {"repetition": mean([0.3] * 20, WEIGHTS)}, CURVE) == "neither"
    assert standing(better | {"repetition": mean([0.1] * 20, WEIGHTS)}, CURVE) == "better"


def test_a_stored_image_is_found_again_but_not_under_other_settings_or_code(tmp_path):
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    store = Store(tmp_path, {"checkpoint": "a"}, code="1")
    store.save({"text": "owl"}, image)
    assert np.array_equal(Store(tmp_path, {"checkpoint": "a"}, code="1").image({"text": "owl"}), image)
    assert store.has({"text": "owl"})
    assert not store.has({"text": "fox"})
    assert not Store(tmp_path, {"checkpoint": "b"}, code="1").has({"text": "owl"})
    assert not Store(tmp_path, {"checkpoint": "a"}, code="2").has({"text": "owl"})
    assert Store(tmp_path, {"checkpoint": "a"}, code="2", any_code=True).has({"text": "owl"})


def test_an_image_whose_writing_was_interrupted_is_missing(tmp_path, monkeypatch):
    store = Store(tmp_path, {}, code="1")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("tools.bench.picture_quality.store.os.replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.save({"text": "owl"}, np.zeros((4, 4, 3), np.uint8))
    assert not store.has({"text": "owl"})


def test_what_was_judged_of_an_image_holds_until_it_is_made_anew(tmp_path):
    store, key = Store(tmp_path, {}, code="1"), {"text": "owl"}
    store.save(key, np.zeros((4, 4, 3), np.uint8))
    store.save_judged(key, "scores", {"sharpness": np.array(0.5)})
    assert store.judged(key, "scores") == {"sharpness": 0.5}
    assert store.judged(key, "lite2") is None
    image = next(tmp_path.glob("*.png"))
    later = image.stat().st_mtime + 10
    store.save(key, np.ones((4, 4, 3), np.uint8))
    os.utime(image, (later, later))
    assert store.judged(key, "scores") is None


def test_a_sheet_shows_rows_and_columns(tmp_path):
    image = Image.new("RGB", (60, 40), "grey")
    save_contact_sheet(tmp_path / "sheet.jpg", ["a", "b"], [[image, image]] * 3, side=60)
    with Image.open(tmp_path / "sheet.jpg") as sheet:
        assert sheet.size == (2 * 68 + 8, 44 + 3 * 48)


def test_the_page_holds_what_a_person_saw_only_if_it_was_in_images_of_the_same_checkpoint():
    text = (ROOT / "tools" / "bench" / "quality_findings.md").read_text(encoding="utf-8")
    first, findings = text.split("\n", 1)
    made_with = json.loads((ROOT / "docs" / "quality.json").read_text(encoding="utf-8"))["made_with"]
    page = (ROOT / "docs" / "QUALITY.md").read_text(encoding="utf-8")
    assert (findings.strip() in page) == (made_with["checkpoint"][:12] in first)


def test_readmes_figures_are_those_of_the_benchmark():
    rows = json.loads((ROOT / "docs" / "quality.json").read_text(encoding="utf-8"))["tables"]["4x"]["rows"]
    names = ("freescale_0.5", "freescale_2", "hires_fix_0.7", "hires_fix_0.5", "tiles_0.5", "direct")
    held, free, low, high, tiles, direct = (f"{rows[name]['repetition']['value']:.2f}" for name in names)
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert (
        f"FreeScale {held} and {free}, hires-fix {low} at denoise 0.3 and {high} at 0.5, "
        f"tiles at 0.5 {tiles}, direct sampling {direct}."
    ) in text
    assert {rows[name]["images"] for name in names} == {20}


def test_readmes_counts_of_comparisons_are_those_of_the_benchmark():
    tables = json.loads((ROOT / "docs" / "quality.json").read_text(encoding="utf-8"))["tables"]
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    counts = {}
    for name, table in tables.items():
        ours = [row for point, row in table["rows"].items() if re.fullmatch(r"freescale_[\d.]+", point)]
        words = Counter(verdict[2] for row in ours for verdict in row["against"].values())
        del words[ONE_AXIS]
        (images,) = {row["images"] for row in ours}
        counts[name] = images, words["better"], words.total(), words["worse"], words["not shown"]
    twice, fourfold = counts["2x"], counts["4x"]
    assert (
        "At equal sharpness and at equal likeness to the base image, by two judges: at twice the size, {} "
        "images a point, {} of {} comparisons is in FreeScale's favour, {} in hires-fix's, {} show no "
        "difference; at four times, {} images, {} of {} are in FreeScale's favour, {} in hires-fix's, "
        "{} show none."
    ).format(*twice, *fourfold) in text
    _, better, _, worse, _ = counts["wide"]
    assert "In a wide format it is worse, as is hires-fix that is told the base size" in text
    told = [row["against"] for name, row in tables["wide"]["rows"].items() if "told" in name]
    assert worse > better == 0
    assert {verdict[2] for row in told for verdict in row.values()} >= {"worse"}


def test_what_readme_says_of_the_parts_and_speeds_is_on_the_page():
    page = (ROOT / "docs" / "QUALITY.md").read_text(encoding="utf-8")
    said = {
        "without fusion, alpha 2": "worse in",
        "without dilation, alpha 0.5": "no difference shown in",
        "without dilation, alpha 2": "no difference shown in",
    }
    for variant, words in said.items():
        assert re.search(rf"2x, FreeScale {variant} minus whole FreeScale: {words}", page), variant
    consistency = {
        (speed, alpha): [float(end) for end in ends]
        for speed, alpha, *ends in re.findall(
            r"2x, speed (\w+), alpha ([\d.]+) minus Exact at the same alpha, as they stand: "
            r"consistency (\S+), (\S+) to (\S+),",
            page,
        )
    }
    assert len(consistency) == 4
    for (speed, _), ends in consistency.items():
        assert (min(ends) > 0) == (speed == "Balanced") and (max(ends) < 0) == (speed == "Fast")


def test_the_unsharp_mask_gains_what_readme_says():
    rows = json.loads((ROOT / "docs" / "quality.json").read_text(encoding="utf-8"))["tables"]["2x"]["rows"]
    mask = rows["hires_fix_sharpened_0.1"]["against"]["kid_crops"]
    (lead,) = [
        verdict
        for name, row in rows.items()
        if name.startswith("freescale_")
        for verdict in row["against"].values()
        if verdict[2] == "better"
    ]
    (at_sharpness, at_consistency, word), ours = mask[:3], lead[1]
    assert word == "better" and at_sharpness[0] < lead[0][0]
    assert ours[0] < at_consistency[0] < ours[2]
