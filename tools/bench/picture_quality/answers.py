"""What a sceptic says, and what the figures say to it: sentences made of verdicts, so that none says more."""

from collections import Counter
from collections.abc import Iterable, Sequence

from tools.bench.picture_quality.curves import Verdict
from tools.bench.picture_quality.experiment import Subject
from tools.bench.picture_quality.families import OURS, REFERENCE
from tools.bench.picture_quality.figures import JUDGED, MEASURES
from tools.bench.picture_quality.results import Results

WITHOUT = ("no_fusion", "no_dilation")
NOT_COMPARABLE = "not comparable: the other curve does not reach this sharpness, or lacks images"
DONE_NOTHING = ("lanczos", "sharpened", "upscale_model")


def answers(subject: Subject, tables: Sequence[Results]) -> list[tuple[str, list[str]]]:
    """(objection, sentences)."""
    return [
        ("FreeScale is a slower way to ask for a lower denoise.", _against_hires_fix(tables)),
        ("Fusion and dilation have no shown use.", _parts(tables)),
        ("Repetition and consistency are both won by doing nothing.", _nothing(tables)),
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
    value, low, high = (f"{end / MEASURES[measure].unit:+.3g}" for end in verdict[:3])
    return f"{value}, {low} to {high}"


def _against_hires_fix(tables: Iterable[Results]) -> list[str]:
    said = []
    for results in tables:
        names = results.families.get(OURS, [])
        all_verdicts = {name: results.against(name, REFERENCE) for name in names}
        said += [
            f"{results.table.name}, {results.points[name].label} minus hires-fix at the same sharpness: "
            f"{told(verdicts)}.{_cost(results, name)}"
            for name, verdicts in all_verdicts.items()
        ]
        words = Counter(v.word for verdicts in all_verdicts.values() for v in verdicts.values())
        if words:
            counts = (words["better"], words["worse"], words["not shown"])
            said.append(
                "{}: of {} comparisons {} are better, {} are worse, and in {} no difference is shown.".format(
                    results.table.name, sum(counts), *counts
                )
            )
    return said or ["Not answered: there are too few images yet."]


def _cost(results: Results, name: str) -> str:
    ratio = results.cost_ratio(name)
    return "" if ratio is None else f" It takes {ratio:.2f} times hires-fix's operations there."


def _parts(tables: Iterable[Results]) -> list[str]:
    said = [
        f"{results.table.name}, {results.points[name].label} minus whole FreeScale at the same sharpness: "
        f"{told(results.against(name, OURS))}."
        for results in tables
        for family in WITHOUT
        for name in results.families.get(family, [])
    ]
    return said or ["Not answered: there are too few images yet."]


def _nothing(tables: Iterable[Results]) -> list[str]:
    said = [
        "True, so verdicts are read at equal sharpness and never from points as they stand. But sharpness "
        "can be bought with a filter, too, and a filter repeats nothing: only KID of crops can tell."
    ]
    for results in tables:
        names = [name for family in DONE_NOTHING for name in results.families.get(family, [])]
        for name in [*names, *results.families.get(OURS, [])]:
            figures = results.figures(name)
            values = (
                f"{MEASURES[m].label} {figures[m].value / MEASURES[m].unit:.3g}"
                for m in ("sharpness", *JUDGED)
            )
            said.append(f"{results.table.name}, {results.points[name].label}: {', '.join(values)}.")
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
