"""What README and the findings claim of picture quality is what docs/quality.json and its page say."""

import json
import re
from collections import Counter

from tools import ROOT
from tools.bench.picture_quality.curves import ONE_AXIS

SAME_ALPHA = (
    r"{table}, {changed}, alpha ([\d.]+) minus FreeScale \(Exact\) at the same alpha, as they stand: "
    r"sharpness \S+ \S+ to \S+, consistency (\S+), (\S+) to (\S+), repetition (\S+), (\S+) to (\S+),"
)
"""value, low, high of consistency, then of repetition."""


def words(*path):
    """A text of the project in one line."""
    return " ".join(ROOT.joinpath(*path).read_text(encoding="utf-8").split())


def measured():
    return json.loads((ROOT / "docs" / "quality.json").read_text(encoding="utf-8"))


def rows(table):
    return measured()["tables"][table]["rows"]


def at_the_same_alpha(table, changed):
    """alpha -> the six figures of SAME_ALPHA."""
    found = re.findall(SAME_ALPHA.format(table=table, changed=changed), words("docs", "QUALITY.md"))
    return {float(alpha): [float(value) for value in figures] for alpha, *figures in found}


def test_the_page_holds_what_a_person_saw_only_if_it_was_in_images_of_the_same_checkpoint():
    text = (ROOT / "tools" / "bench" / "quality_findings.md").read_text(encoding="utf-8")
    first, findings = text.split("\n", 1)
    page = (ROOT / "docs" / "QUALITY.md").read_text(encoding="utf-8")
    assert (findings.strip() in page) == (measured()["made_with"]["checkpoint"][:12] in first)


def test_readmes_figures_are_those_of_the_benchmark():
    found = rows("4x")
    names = ("freescale_0.5", "freescale_2", "hires_fix_0.7", "hires_fix_0.5", "tiles_0.5", "direct")
    held, free, low, high, tiles, direct = (f"{found[name]['repetition']['value']:.2f}" for name in names)
    assert (
        f"FreeScale {held} and {free}, hires-fix {low} at denoise 0.3 and {high} at 0.5, "
        f"tiles at 0.5 {tiles}, direct sampling {direct}."
    ) in words("README.md")
    assert {found[name]["images"] for name in names} == {20}


def counted(table, family):
    """images, better, all, worse, not shown: of FreeScale's points against the curve of `family`."""
    ours = [row for point, row in rows(table).items() if re.fullmatch(r"freescale_[\d.]+", point)]
    found = Counter(verdict[2] for row in ours for verdict in row["against"].get(family, {}).values())
    del found[ONE_AXIS]
    (images,) = {row["images"] for row in ours}
    return images, found["better"], found.total(), found["worse"], found["not shown"]


def test_readmes_counts_of_comparisons_are_those_of_the_benchmark():
    _, better, total, worse, none = counted("4x", "hires_fix_told")
    assert better == worse == 0
    assert (
        "At twice the size, {} images a point, {} of {} comparisons is in FreeScale's favour, {} in "
        "hires-fix's, {} show no difference. At four times, {} images, {} of {} are in FreeScale's favour, "
        "{} in hires-fix's, {} show none; against hires-fix that is told the base size, as FreeScale tells "
        "SDXL, {} of {} show none."
    ).format(*counted("2x", "hires_fix"), *counted("4x", "hires_fix"), none, total) in words("README.md")


def test_the_wide_format_is_as_readme_says():
    assert "In a wide format it is worse, as is hires-fix that is told the base size" in words("README.md")
    for name in ("freescale_", "hires_fix_told"):
        named = [row["against"] for point, row in rows("wide").items() if point.startswith(name)]
        found = [against["hires_fix"] for against in named if "hires_fix" in against]
        verdicts = {verdict[2] for row in found for verdict in row.values()}
        assert "worse" in verdicts and "better" not in verdicts, name
    assert "at alpha 1 it is worse than told hires-fix, too" in words("README.md")
    verdicts = [verdict[2] for verdict in rows("wide")["freescale_1"]["against"]["hires_fix_told"].values()]
    assert "worse" in verdicts and "better" not in verdicts


def test_what_readme_says_of_the_parts_is_on_the_page():
    assert (
        "At twice the size scale fusion helps a little at alpha 2, and dilation shows no use. At four "
        "times, at the same alpha, images repeat themselves slightly more without either; at equal likeness "
        "that is not shown."
    ) in words("README.md")
    of_2x = {
        "fusion, alpha 2": "worse in",
        "dilation, alpha 0.5": "no difference shown in",
        "dilation, alpha 2": "no difference shown in",
    }
    for part, verdict in of_2x.items():
        of_page = rf"2x, FreeScale without {part} minus whole FreeScale: {verdict}"
        assert re.search(of_page, words("docs", "QUALITY.md")), part
    for part in ("fusion", "dilation"):
        ((*_, repetition_low, _),) = at_the_same_alpha("4x", f"FreeScale without {part}").values()
        assert repetition_low > 0, part
        against = rows("4x")[f"no_{part}_1"]["against"]["freescale"]
        _, low, high = against["repetition"][1]
        assert low < 0 < high, part


def test_what_readme_says_of_the_speeds_is_on_the_page():
    said = "At the same alpha *Balanced* shows no loss against *Exact*; *Fast* loses a little."
    assert said in words("README.md")
    for table, points in (("2x", 2), ("4x", 1)):
        balanced, fast = (at_the_same_alpha(table, f"speed {name}") for name in ("Balanced", "Fast"))
        assert len(balanced) == len(fast) == points
        for _, low, _, _, repetition_low, _ in balanced.values():
            assert low > 0 > repetition_low
        assert all(high < 0 for _, _, high, *_ in fast.values())


def test_the_unsharp_mask_gains_what_readme_says():
    """At restart 0.4 it is beyond hires-fix's sharpness."""
    assert (
        "gains more than that lead at equal sharpness (restart 0.7), and about as much at equal likeness "
        "(0.4)."
    ) in words("README.md")
    found = rows("2x")
    (lead,) = [
        verdict
        for name, row in found.items()
        if name.startswith("freescale_")
        for verdict in row["against"].get("hires_fix", {}).values()
        if verdict[2] == "better"
    ]
    soft, sharp = (
        found[f"hires_fix_{name}_0.1"]["against"]["hires_fix"]["kid_crops"]
        for name in ("sharpened", "freer_sharpened")
    )
    assert soft[2] == "better" and soft[0][0] < lead[0][0]
    _, low, high = lead[1]
    assert low < sharp[1][0] < high and sharp[1][2] < 0
    assert all(judge[2] < 0 for judge in sharp[3][1:])


def operations(table, ours, other="hires-fix"):
    """Operations over the other curve's, by the knob."""
    line = f"{table}, operations of {ours} over those of {other} at the same sharpness, by "
    (found,) = re.findall(re.escape(line) + r"\w+: ([^*]*)\.", words("docs", "QUALITY.md"))
    return {float(knob): float(ratio) for ratio, knob in re.findall(r"([\d.]+) at ([\d.]+)", found)}


def test_what_the_findings_say_of_the_cost_is_on_the_page():
    twice, fourfold = operations("2x", "FreeScale"), operations("4x", "FreeScale")
    least, most, small = twice[5.0], twice[0.25], twice[0.1]
    tiles = [sorted(operations(table, "tiles (MultiDiffusion)").values()) for table in ("2x", "4x")]
    (ksampler,) = set(operations("2x", "FreeScale", "hires-fix by KSampler's denoise").values())
    text = words("tools", "bench", "quality_findings.md")
    assert (
        f"*Exact* takes {least:.1f} to {most:.0f} times hires-fix's operations at 2x (alpha 5 to 0.25; "
        f"{small:.0f} at 0.1), {fourfold[2.0]:.1f} to {fourfold[0.5]:.1f} times at 4x"
    ) in text
    assert f"*Exact* takes {ksampler}. " in text
    assert (
        "take {:.0f} to {:.0f} times at 2x and {:.0f} to {:.0f} at 4x.".format(
            *(ends[place] for ends in tiles for place in (0, -1))
        )
        in text
    )
