"""Repetition and KID over sharpness, every family a line."""

from pathlib import Path
from typing import Any

from tools.bench.picture_quality.families import OURS, REFERENCE
from tools.bench.picture_quality.figures import MEASURES
from tools.bench.picture_quality.results import Results

SHOWN = ("repetition", "kid", "kid_crops")
PROMINENT = {OURS: ("tab:red", 2.5), REFERENCE: ("black", 2.5)}


def curves(results: Results, file: Path) -> None:
    import matplotlib  # The tests do without it.

    matplotlib.use("Agg")  # Needs no screen.
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(SHOWN), figsize=(6 * len(SHOWN), 6), layout="constrained")
    for number, (family, names) in enumerate(results.families.items()):
        figures = [results.figures(name) for name in names]
        color, width = PROMINENT.get(family, (f"C{number % 10}", 1.0))
        style: dict[str, Any] = {"color": color, "linewidth": width, "marker": "osD^v<>Pp*"[number // 10]}
        for axes, measure in zip(panels, SHOWN, strict=True):
            xs, ys = ([f[m].value / MEASURES[m].unit for f in figures] for m in ("sharpness", measure))
            axes.plot(xs, ys, label=results.points[names[0]].family.label, **style)
    for axes, measure in zip(panels, SHOWN, strict=True):
        axes.set(xscale="log", xlabel="sharpness, x 1000", ylabel=MEASURES[measure].label)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", fontsize="small")
    figure.suptitle(f"{results.table.title}: lower is better, along each line the family's knob")
    figure.savefig(file, dpi=80, metadata={"Software": None})
    pyplot.close(figure)
