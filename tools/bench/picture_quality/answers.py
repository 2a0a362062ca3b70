"""What a sceptic says, and what the figures say to it: sentences made of verdicts, so that none says more."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from tools.bench.picture_quality.curves import ONE_AXIS, Verdict, by_judges
from tools.bench.picture_quality.experiment import Subject
from tools.bench.picture_quality.families import FAMILIES, KSAMPLER, OURS, REFERENCE, RELATIVES, TILES, TOLD
from tools.bench.picture_quality.figures import AXES, JUDGED, MEASURES, Figure
from tools.bench.picture_quality.results import Results

VARIANTS = ("no_fusion", "no_dilation", "blur_2d", "balanced", "fast", "dilated_up", "latent", "with_freeu")
"""What is compared with whole FreeScale: without a part, or cheaper, or as its authors run it."""
SPEEDS = ("balanced", "fast")
PAPERS_BLUR = "blur_2d"
SWITCHED = ("no_fusion", "no_dilation", PAPERS_BLUR, *SPEEDS)
"""What one may change in the node and leave alpha as it is."""
NOT_COMPARABLE = "not comparable: the other curve reaches it in too few of the resamples, or lacks images"
DIRECT, WITH_PARTS = "direct", "direct_parts"
CONTROLS = (TILES, "hires_fix_sharpened", "hires_fix_freer_sharpened")
"""What else is counted against hires-fix: the other way to enlarge, and a filter."""
WORDS = {
    "better": "better in",
    "worse": "worse in",
    "not shown": "no difference shown in",
    ONE_AXIS: "on one axis alone, which gives no verdict:",
}
"""Word of a verdict -> how the sentence begins."""
DONE_NOTHING = ("true_images", "lanczos", "sharpened", "upscale_model")
ENLARGED = "lanczos"
RIVALS = (REFERENCE, TOLD, OURS, TILES)
"""The curves that an idea would have to beat: what one would use in its place."""
STANDINGS = {
    "better": "better than",
    "worse": "worse than",
    "neither": "neither better nor worse than",
    "not comparable": "not comparable with",
}


def answers(subject: Subject, tables: Sequence[Results]) -> list[tuple[str, list[str]]]:
    """(objection, sentences)."""
    return [
        ("FreeScale is a slower way to ask for a lower denoise.", _against_hires_fix(tables)),
        ("Fusion and dilation have no shown use.", _parts(tables)),
        ("Repetition and consistency are won by doing nothing.", _nothing(tables)),
        ("A few images of a toy.", _size(subject, tables)),
    ]


def told(verdicts: dict[str, Verdict]) -> str:
    """better in ...; worse in ...; no difference shown in ..."""
    groups: dict[str, list[str]] = {}
    for measure, verdict in verdicts.items():
        groups.setdefault(verdict.word, []).append(f"{MEASURES[measure].label} ({_change(measure, verdict)})")
    parts = [f"{said} {', '.join(groups[word])}" for word, said in WORDS.items() if word in groups]
    return "; ".join(parts) or NOT_COMPARABLE


def _change(measure: str, verdict: Verdict) -> str:
    """At equal sharpness | at equal consistency, and by the second judge."""
    first = " | ".join(_figure(measure, one) for one in (verdict.at_sharpness, verdict.at_consistency))
    second = " | ".join(_figure(measure, one) for one in verdict.second)
    return f"{first}; by Lite0 {second}" if second else first


def _figure(measure: str, found: Figure) -> str:
    if math.isnan(found.value):
        return "-"
    value, low, high = (f"{end / MEASURES[measure].unit:+.3g}" for end in found)
    return f"{value}, {low} to {high}"


def _against_hires_fix(tables: Iterable[Results]) -> list[str]:
    said = []
    for results in tables:
        said += [
            _minus(results, name, other, _label(results, other))
            for other in (REFERENCE, *RELATIVES)
            if other in results.families
            for name in results.families.get(OURS, [])
        ]
        variants = (OURS, PAPERS_BLUR, *SPEEDS)
        counted = [(ours, other) for ours in variants for other in (REFERENCE, *RELATIVES)]
        counted += [(control, REFERENCE) for control in CONTROLS]
        paid = [(ours, REFERENCE) for ours in (*variants, TILES)] + [(OURS, KSAMPLER)]
        for asked, pairs in ((_counted, counted), (_cost, paid)):
            said += [asked(results, *pair) for pair in pairs if set(pair) <= set(results.families)]
    return list(filter(None, said)) or ["Not answered: there are too few images yet."]


def _minus(results: Results, name: str, family: str, label: str) -> str:
    both = f"{results.table.name}, {results.points[name].label} minus {label}"
    return f"{both}: {told(results.against(name, family))}."


def _label(results: Results, family: str) -> str:
    return results.points[results.families[family][0]].family.label


def _counted(results: Results, family: str, other: str) -> str:
    """How often the points of a family are better, worse or neither than the curve of another one."""
    words = Counter(
        v.word for name in results.families[family] for v in results.against(name, other).values()
    )
    del words[ONE_AXIS]
    if not words:
        return ""
    labels = [_label(results, one) for one in (family, other)]
    counts = (words["better"], words["worse"], words["not shown"])
    return (
        "{}, {} against {}: of {} comparisons {} are better, {} are worse, and in {} no difference is shown."
    ).format(results.table.name, *labels, sum(counts), *counts)


def _cost(results: Results, family: str, other: str) -> str:
    """By point, where the other curve has its sharpness."""
    points = [(results.points[name], results.cost_ratio(name, other)) for name in results.families[family]]
    ratios = [f"{ratio:.2f} at {point.value:g}" for point, ratio in points if ratio is not None]
    if not ratios:
        return ""
    labels = [_label(results, one) for one in (family, other)]
    knob = points[0][0].family.knob
    return "{}, operations of {} over those of {} at the same sharpness, by {}: {}.".format(
        results.table.name, *labels, knob, ", ".join(ratios)
    )


def _parts(tables: Iterable[Results]) -> list[str]:
    said = [
        _minus(results, name, OURS, "whole FreeScale")
        for results in tables
        for family in VARIANTS
        for name in results.families.get(family, [])
    ]
    said += [
        _at_equal_alpha(results, name)
        for results in tables
        for family in SWITCHED
        for name in results.families.get(family, [])
    ]
    said += [_as_they_stand(results, WITH_PARTS, DIRECT, "direct sampling") for results in tables]
    return list(filter(None, said)) or ["Not answered: there are too few images yet."]


def _at_equal_alpha(results: Results, name: str) -> str:
    """What a user gets who changes the speed, or switches a part off, and leaves alpha as it is."""
    exact = replace(results.points[name], family=FAMILIES[OURS]).name
    return _as_they_stand(results, name, exact, "FreeScale (Exact) at the same alpha")


def _as_they_stand(results: Results, name: str, other: str, label: str) -> str:
    if name not in results.points:
        return ""
    measures = [*AXES, *(one for measure in JUDGED for one in by_judges(measure))]
    found = {m: results.difference(name, other, m) for m in measures}
    said = ", ".join(f"{MEASURES[m].label} {_figure(m, one)}" for m, one in found.items() if one)
    both = f"{results.table.name}, {results.points[name].label} minus {label}"
    return f"{both}, as they stand: {said}." if said else ""


def _nothing(tables: Iterable[Results]) -> list[str]:
    said = [
        "True, and KID is won so, too. Hence no verdict is read off points as they stand, and sharpness, "
        "which a filter buys, is not the only thing that is made equal. What is left open: whether new "
        "detail is worth more to a person than none."
    ]
    for results in tables:
        names = [name for family in DONE_NOTHING for name in results.families.get(family, [])]
        for name in [*names, *results.families.get(OURS, [])]:
            figures = results.figures(name)
            values = (
                f"{MEASURES[m].label} {figures[m].value / MEASURES[m].unit:.3g}" for m in (*AXES, *JUDGED)
            )
            said.append(f"{results.table.name}, {results.points[name].label}: {', '.join(values)}.")
        said += [
            f"{results.table.name}, {results.points[name].label} minus Lanczos, as they stand: KID of crops "
            f"{_figure('kid_crops', found)}."
            for name in results.families.get(OURS, [])
            if (found := results.difference(name, ENLARGED, "kid_crops"))
        ]
    return said


def _size(subject: Subject, tables: Iterable[Results]) -> list[str]:
    said = [
        f"{results.table.name}: {min(counts)} to {max(counts)} images a point, "
        f"{len(subject.prompts)} prompts."
        for results in tables
        for counts in [[results.images(name) for name in results.points]]
    ]
    if subject.renders:
        said.append(
            "It is a toy: what holds for it may not hold for SDXL. The one experiment that matters is the "
            "same command with SDXL: "
            "python3 dev.py bench quality --checkpoint PATH --base 1024 --prompts FILE."
        )
    return said


def ideas(results: Results) -> list[str]:
    """How each point of a candidate stands to each rival's curve."""
    candidates = [name for name, point in results.points.items() if point.family.label.startswith("idea:")]
    return [f"**{results.points[name].label}**: {_standings(results, name)}." for name in candidates]


def _standings(results: Results, name: str) -> str:
    groups: dict[str, list[str]] = {}
    for rival in RIVALS:
        if rival in results.families:
            label = results.points[results.families[rival][0]].family.label
            groups.setdefault(results.standing(name, rival), []).append(label)
    return "; ".join(
        f"{said} {', '.join(groups[word])}" for word, said in STANDINGS.items() if word in groups
    )
