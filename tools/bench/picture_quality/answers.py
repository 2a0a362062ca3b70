"""What a sceptic says, and what the figures say to it: sentences made of verdicts, so that none says more."""

from collections import Counter
from collections.abc import Iterable, Sequence

from tools.bench.picture_quality.curves import Verdict
from tools.bench.picture_quality.experiment import Subject
from tools.bench.picture_quality.families import OURS, REFERENCE
from tools.bench.picture_quality.figures import AXES, JUDGED, MEASURES, Figure
from tools.bench.picture_quality.results import Results

VARIANTS = ("no_fusion", "no_dilation", "blur_2d", "balanced", "fast", "dilated_up", "freeu")
"""What is compared with whole FreeScale: without a part, or cheaper, or as its authors run it."""
NOT_COMPARABLE = "not comparable: the other curve does not reach it, or lacks images"
FILTERED = "hires_fix_sharpened"
RELATIVES = ("hires_fix_told", "hires_fix_ksampler")
"""Of the reference: the same method as fair as it can be made, or as ComfyUI's simplest node does it."""
DONE_NOTHING = ("true_images", "lanczos", "sharpened", "upscale_model")
ENLARGED = "lanczos"


def answers(subject: Subject, tables: Sequence[Results]) -> list[tuple[str, list[str]]]:
    """(objection, sentences)."""
    return [
        ("FreeScale is a slower way to ask for a lower denoise.", _against_hires_fix(tables)),
        ("Fusion and dilation have no shown use.", _parts(tables)),
        ("Repetition and consistency are won by doing nothing.", _nothing(tables)),
        ("A few images of a toy.", _size(subject, tables)),
    ]


def told(verdicts: dict[str, Verdict]) -> str:
    """better in ...; worse in ...; not shown in ..."""
    groups: dict[str, list[str]] = {}
    for measure, verdict in verdicts.items():
        groups.setdefault(verdict.word, []).append(f"{MEASURES[measure].label} ({_change(measure, verdict)})")
    words = [word for word in ("better", "worse", "not shown") if word in groups]
    parts = [
        f"{'no difference shown' if word == 'not shown' else word} in {', '.join(groups[word])}"
        for word in words
    ]
    return "; ".join(parts) or NOT_COMPARABLE


def _change(measure: str, verdict: Verdict) -> str:
    """At equal sharpness | at equal consistency."""
    return " | ".join(_figure(measure, one) for one in (verdict.at_sharpness, verdict.at_consistency))


def _figure(measure: str, found: Figure) -> str:
    value, low, high = (f"{end / MEASURES[measure].unit:+.3g}" for end in found)
    return f"{value}, {low} to {high}"


def _against_hires_fix(tables: Iterable[Results]) -> list[str]:
    said = []
    for results in tables:
        said += [
            f"{results.table.name}, {results.points[name].label} minus hires-fix: "
            f"{told(results.against(name, REFERENCE))}.{_cost(results, name)}"
            for name in results.families.get(OURS, [])
        ]
        said += [_counted(results, OURS, other) for other in (REFERENCE, *RELATIVES)]
        said += [_counted(results, FILTERED, REFERENCE)]
    return list(filter(None, said)) or ["Not answered: there are too few images yet."]


def _counted(results: Results, family: str, other: str) -> str:
    """How often the points of a family are better, worse or neither than the curve of another one."""
    names = results.families.get(family, [])
    words = Counter(v.word for name in names for v in results.against(name, other).values())
    if not words:
        return ""
    labels = [results.points[results.families[f][0]].family.label for f in (family, other)]
    counts = (words["better"], words["worse"], words["not shown"])
    return (
        "{}, {} against {}: of {} comparisons {} are better, {} are worse, and in {} no difference is shown."
    ).format(results.table.name, *labels, sum(counts), *counts)


def _cost(results: Results, name: str) -> str:
    ratio = results.cost_ratio(name)
    return (
        "" if ratio is None else f" It takes {ratio:.2f} times hires-fix's operations at the same sharpness."
    )


def _parts(tables: Iterable[Results]) -> list[str]:
    said = [
        f"{results.table.name}, {results.points[name].label} minus whole FreeScale: "
        f"{told(results.against(name, OURS))}."
        for results in tables
        for family in VARIANTS
        for name in results.families.get(family, [])
    ]
    return said or ["Not answered: there are too few images yet."]


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
