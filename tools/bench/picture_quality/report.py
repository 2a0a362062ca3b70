"""The figures as tables, sentences and data."""

import math
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from tools.bench.picture_quality.measures import KNOWN, MEASURES, OURS, Figure

Table = dict[str, dict[str, Figure]]
SCALED = {1.0: "", 1e-3: ", x 1000"}


def as_text(labels: dict[str, str], table: Table) -> str:
    """For the terminal."""
    rows = [("", *(heading(name) for name in MEASURES)), *_cells(labels, table)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def as_markdown(labels: dict[str, str], table: Table) -> str:
    head = ("", *(heading(name) for name in MEASURES))
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *_cells(labels, table)))


def heading(measure: str) -> str:
    return MEASURES[measure].label + SCALED[MEASURES[measure].unit]


def _cells(labels: dict[str, str], table: Table) -> Iterable[tuple[str, ...]]:
    for name, row in table.items():
        yield (labels[name], *(_cell(measure, row.get(measure)) for measure in MEASURES))


def _cell(measure: str, figure: Figure | None) -> str:
    if figure is None:
        return ""
    unit = MEASURES[measure].unit
    shown = _number(figure.value / unit)
    if figure.interval is None or any(map(math.isnan, figure.interval)):
        return shown
    low, high = (_number(end / unit) for end in figure.interval)
    return f"{shown} ({low} to {high})"


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"


def findings(labels: dict[str, str], table: Table, against: dict[str, str]) -> list[str]:
    """A sentence for each method: in what it is better or worse than its row of `against`, as far as the
    intervals say."""
    judged = {name: row for name, row in table.items() if name not in (OURS, *KNOWN) and _compared(row)}
    return [_finding(labels[name], labels[against[name]], row) for name, row in judged.items()]


def _compared(row: dict[str, Figure]) -> dict[str, int]:
    """Measures with a difference to another row -> 1 better than it, -1 worse, 0 not shown."""
    return {
        name: _verdict(MEASURES[name].better, row[name].difference)
        for name in row
        if MEASURES[name].better and row[name].difference
    }


def _verdict(better: int, difference: tuple[float, float, float]) -> int:
    """The sign of a difference whose whole interval lies on one side of 0, seen as better (1) or worse
    (-1)."""
    _, low, high = difference
    return better * ((low > 0) - (high < 0))


def _finding(label: str, other: str, row: dict[str, Figure]) -> str:
    verdicts = _compared(row)

    def names(wanted: int) -> str:
        return ", ".join(_change(name, row[name]) for name, verdict in verdicts.items() if verdict == wanted)

    parts = [
        f"{word} in {names(verdict)}"
        for verdict, word in ((-1, "worse"), (1, "better"), (0, "no difference shown"))
        if names(verdict)
    ]
    return f"**{label}** against {other}: {'; '.join(parts)}."


def _change(measure: str, figure: Figure) -> str:
    assert figure.difference is not None
    unit = MEASURES[measure].unit
    value, low, high = (f"{end / unit:+.2f}" for end in figure.difference)
    return f"{MEASURES[measure].label} ({value}, {low} to {high})"


def as_data(table: Table) -> dict[str, Any]:
    """Plain data; what cannot be told (not a number) is null."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items() if item is not None}
        if isinstance(value, tuple):
            return [plain(item) for item in value]
        return None if math.isnan(value) else round(value, 6)

    return {
        name: {measure: plain(asdict(figure)) for measure, figure in row.items()}
        for name, row in table.items()
    }
