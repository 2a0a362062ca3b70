"""What README and the findings claim of picture quality is what docs/quality.json and its page say."""

import json
import re
from collections import Counter

from tools import ROOT
from tools.bench.picture_quality.curves import ONE_AXIS


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
