"""The figures as tables, sentences and data."""

import math
from typing import Any

from tools.bench.picture_quality.figures import Figure
from tools.bench.picture_quality.settings import KNOWN, MEASURES, OURS

Table = dict[str, dict[str, Figure]]


def header() -> list[str]:
    return ["", *map(heading, MEASURES)]


def heading(measure: str) -> str:
    return MEASURES[measure].label + {1.0: "", 1e-3: ", x 1000"}[MEASURES[measure].unit]


def rows(labels: dict[str, str], table: Table) -> list[list[str]]:
    return [
        [labels[name], *(_cell(measure, row.get(measure)) for measure in MEASURES)]
        for name, row in table.items()
    ]


def _cell(measure: str, figure: Figure | None) -> str:
    if figure is None:
        return ""
    value, *ends = (_number(x / MEASURES[measure].unit) for x in (figure.value, *(figure.interval or ())))
    return f"{value} ({' to '.join(ends)})" if ends and "nan" not in ends else value


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"


def findings(labels: dict[str, str], table: Table, against: dict[str, str]) -> list[str]:
    """A sentence for each method: in what it is better or worse than its row of `against`, as far as the
    intervals say."""
    found = []
    for name, row in table.items():
        changes: dict[str, list[str]] = {"worse": [], "better": [], "no difference shown": []}
        for measure, figure in row.items():
            if figure.difference and MEASURES[measure].better:
                changes[_verdict(measure, figure.difference)].append(_change(measure, figure.difference))
        parts = [f"{word} in {', '.join(told)}" for word, told in changes.items() if told]
        if parts and name not in (OURS, *KNOWN):
            found.append(f"**{labels[name]}** against {labels[against[name]]}: {'; '.join(parts)}.")
    return found


def _verdict(measure: str, difference: tuple[float, float, float]) -> str:
    """Whether the whole interval lies on the better or the worse side of 0."""
    _, low, high = difference
    return {1: "better", -1: "worse", 0: "no difference shown"}[
        MEASURES[measure].better * ((low > 0) - (high < 0))
    ]


def _change(measure: str, difference: tuple[float, float, float]) -> str:
    value, low, high = (f"{end / MEASURES[measure].unit:+.2f}" for end in difference)
    return f"{MEASURES[measure].label} ({value}, {low} to {high})"


def as_data(table: Table) -> dict[str, Any]:
    """Plain data; what cannot be told (not a number) is null."""

    def plain(value: Any) -> Any:
        if isinstance(value, tuple):
            return [plain(item) for item in value]
        return None if math.isnan(value) else round(value, 6)

    def known(figure: Figure) -> dict[str, Any]:
        return {key: plain(value) for key, value in figure._asdict().items() if value is not None}

    return {name: {measure: known(figure) for measure, figure in row.items()} for name, row in table.items()}
