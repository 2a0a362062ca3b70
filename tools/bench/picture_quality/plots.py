"""Repetition and KID over sharpness and over consistency, every family a line."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tools.bench.picture_quality.families import OURS, REFERENCE, TILES, TOLD
from tools.bench.picture_quality.figures import AXES, JUDGED, MEASURES, Figure, heading
from tools.bench.picture_quality.results import Results

PANELS = [(axis, measure) for axis in AXES for measure in JUDGED]
PROMINENT = {OURS: ("tab:red", 2.5), REFERENCE: ("black", 2.5)}
COLORS = [f"C{number}" for number in range(10) if number != 3]
"""Of the rest: without the red one."""
SHORT = {
    REFERENCE: PROMINENT[REFERENCE],
    TOLD: ("tab:blue", 1.5),
    TILES: ("tab:orange", 1.5),
    OURS: PROMINENT[OURS],
}
"""What README's plot shows, last on top: color and width."""
SHORT_TABLES = ("2x", "4x")


def curves(results: Results, file: Path) -> None:
    pyplot = _pyplot()
    shape = len(AXES), len(JUDGED)
    figure, panels = pyplot.subplots(*shape, figsize=(6 * shape[1], 5 * shape[0]), layout="constrained")
    for number, (family, names) in enumerate(results.families.items()):
        figures = [results.figures(name) for name in names]
        row, column = divmod(number, len(COLORS))
        color, width = PROMINENT.get(family, (COLORS[column], 1.0))
        style: dict[str, Any] = {"color": color, "linewidth": width, "marker": "osD^v<>Pp*"[row]}
        for place, axes in zip(PANELS, panels.flat, strict=True):
            xs, ys = _line(figures, *place)
            axes.plot(xs, ys, label=results.points[names[0]].family.label, **style)
            if family in PROMINENT:
                axes.errorbar(xs, ys, _intervals(figures, place[1]), fmt="none", ecolor=color, alpha=0.35)
    for (x, y), axes in zip(PANELS, panels.flat, strict=True):
        axes.set(xlabel=heading(x), ylabel=heading(y), xlim=_limits(results, x), ylim=_limits(results, y))
    figure.legend(*panels.flat[0].get_legend_handles_labels(), loc="outside right center", fontsize="small")
    figure.suptitle(
        f"{results.table.title}: lower is better, along each line the family's knob "
        "(what no model draws may lie outside)\nbars: 95 % intervals of hires-fix and FreeScale; "
        "both have the same prompts, so that their difference is surer than the bars"
    )
    figure.savefig(file, dpi=80, metadata={"Software": None})
    pyplot.close(figure)


def summary(tables: Sequence[Results], file: Path) -> None:
    """The few curves of README: repetition and KID over consistency, a row for each table."""
    shown = [r for r in tables if r.table.name in SHORT_TABLES and set(SHORT) & set(r.families)]
    if not shown:
        return
    pyplot = _pyplot()
    shape = len(shown), len(JUDGED)
    figure, panels = pyplot.subplots(
        *shape, figsize=(5 * shape[1], 4 * shape[0]), layout="constrained", squeeze=False
    )
    for results, row in zip(shown, panels, strict=True):
        for measure, axes in zip(JUDGED, row, strict=True):
            for family, (color, width) in SHORT.items():
                if not (names := results.families.get(family)):
                    continue
                line = _line([results.figures(name) for name in names], "consistency", measure)
                label = results.points[names[0]].family.label
                axes.plot(*line, color=color, linewidth=width, marker="o", label=label)
            axes.set(title=f"{results.table.name}: {heading(measure)}, less is better")
            axes.set(xlabel="consistency with the base image, more is better")
    figure.legend(*panels.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(SHORT))
    figure.savefig(file, dpi=80, metadata={"Software": None})
    pyplot.close(figure)


def _pyplot() -> Any:
    import matplotlib  # The tests do without it.

    matplotlib.use("Agg")  # Needs no screen.
    from matplotlib import pyplot

    return pyplot


def _line(figures: Sequence[Mapping[str, Figure]], x: str, y: str) -> list[list[float]]:
    return [[f[m].value / MEASURES[m].unit for f in figures] for m in (x, y)]


def _intervals(figures: Sequence[Mapping[str, Figure]], measure: str) -> list[list[float]]:
    """How far the 95 % intervals reach below and above the values."""
    found, unit = [f[measure] for f in figures], MEASURES[measure].unit
    return [[(f.value - f.low) / unit for f in found], [(f.high - f.value) / unit for f in found]]


def _limits(results: Results, measure: str) -> tuple[float, float]:
    """Of the points that a UNet draws: what only enlarges lies far off, and would squeeze their curves."""
    drawn = [name for name in results.points if results.cost(name).get("calls")] or list(results.points)
    values = [results.figures(name)[measure].value / MEASURES[measure].unit for name in drawn]
    least, most = np.nanmin(values), np.nanmax(values)
    margin = 0.05 * (most - least) or 1.0
    return least - margin, most + margin
