"""The figures of docs/PERFORMANCE.md."""

from typing import Any

import matplotlib

from tools.bench.performance.results import DOCS

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402 (after the choice of a backend that needs no screen)

GIB = 2**30


def calls(counts: dict[str, Any], model: str) -> None:
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for name, ratios in counts["ratios"][model]["square"].items():
        axes.plot([int(scale) for scale in ratios], list(ratios.values()), marker="o", label=name)
    axes.axhline(1.0, color="grey", linewidth=0.8)
    axes.set(xscale="log", xlabel="scale", ylabel="operations / plain UNet's", title=f"{model}, one call")
    axes.set_xticks([2, 4, 8], ["2x", "4x", "8x"])
    axes.minorticks_off()
    axes.legend()
    _save(figure, "calls")


def memory(data: dict[str, Any], model: str) -> None:
    rows = [row for row in data["calls"] if row["model"] == model]
    sizes, variants = (list(dict.fromkeys(row[key] for row in rows)) for key in ("size", "variant"))
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for i, variant in enumerate(variants):
        heights = [row["batch"]["1"] / GIB for row in rows if row["variant"] == variant]
        axes.bar([place + 0.2 * i for place in range(len(sizes))], heights, width=0.2, label=variant)
    axes.set(yscale="log", ylabel="GiB", title=f"{model}, activations of one call, no batch")
    axes.set_xticks([place + 0.1 * (len(variants) - 1) for place in range(len(sizes))], sizes)
    axes.legend()
    _save(figure, "memory")


def gpu(rows: list[dict[str, Any]], card: str, name: str) -> None:
    """Measured against counted: the time of a call in unpatched calls, and the memory of a call."""
    figure, panels = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    above = [row for row in rows if row["scale"] > 1]
    for i, variant in enumerate(dict.fromkeys(row["variant"] for row in above)):
        some = [row for row in above if row["variant"] == variant]
        sides, color = [row["side"] for row in some], f"C{i}"
        panels[0].plot(sides, [row["of_unpatched"] for row in some], "o", color=color, label=variant)
        panels[0].plot(sides, [row["tflop"] / row["plain_tflop"] for row in some], "--", color=color)
        panels[1].plot(sides, [row["peak_gib"] for row in some], "o", color=color, label=variant)
        panels[1].plot(sides, [row["counted_gib"] for row in some], "--", color=color)
    panels[0].set(ylabel="unpatched calls", title="time (points) and operations (lines)")
    panels[1].set(yscale="log", ylabel="GiB", title="memory: measured (points), counted (lines)")
    for axes in panels:
        axes.set(xscale="log", xlabel="side of the picture")
        axes.set_xticks(sorted({row["side"] for row in above}), sorted({row["side"] for row in above}))
        axes.minorticks_off()
        axes.legend()
    figure.suptitle(f"One UNet call on {card}")
    _save(figure, name)


def _save(figure: Any, name: str) -> None:
    path = DOCS / "images" / f"performance_{name}.png"
    figure.savefig(path, dpi=100, metadata={"Software": None})
    pyplot.close(figure)
    print(f"  written: docs/images/{path.name}")
