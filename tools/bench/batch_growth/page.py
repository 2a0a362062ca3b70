"""The figures of docs/BATCH.md: its table and its plot."""

import re
from typing import Any

from tools.bench.performance.results import DOCS, markdown

NAME = "batch"
PAGE = DOCS / "BATCH.md"
PLOT = "batch_growth.png"
BEGIN, END = "<!-- python3 dev.py bench batch writes this -->\n", "\n<!-- to here -->"


def write(data: dict[str, Any]) -> None:
    plot(data)
    PAGE.write_text(with_section(PAGE.read_text(encoding="utf-8"), section(data)), encoding="utf-8")
    print(f"  written: docs/{PAGE.name}, docs/images/{PLOT}")


def with_section(page: str, written: str) -> str:
    """The page with `written` between its two marks."""
    between = re.compile(f"(?<={re.escape(BEGIN)}).*(?={re.escape(END)})", re.DOTALL)
    return between.sub(lambda _: written, page)


def section(data: dict[str, Any]) -> str:
    loads = [f"{row['load']:g}" for row in data["rows"]]
    return (
        f"{data['cores']} cores, {data['workers']} workers, Ray {data['ray']}, commit {data['commit']}. Load "
        f"average before each run, which says how many other programs wanted a core: {', '.join(loads)}.\n\n"
        f"{markdown(*table(data))}\n\n"
        f"![Seconds and the driver's memory by the number of jobs](images/{PLOT})"
    )


def table(data: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    header = ["jobs", "seconds in all", "before the first job", "jobs a second from then on", "driver, MiB"]
    return header, [
        [
            *(str(row["jobs"]), f"{row['seconds']:.0f}", f"{row['first_seconds']:.0f}"),
            *(f"{rate(row):.0f}", str(row["driver_mib"])),
        ]
        for row in data["rows"]
    ]


def rate(row: dict[str, Any]) -> float:
    """Jobs a second, without Ray's start."""
    return float(row["jobs"] / (row["seconds"] - row["first_seconds"]))


def plot(data: dict[str, Any]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    jobs = [row["jobs"] for row in data["rows"]]
    figure, panels = pyplot.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    work = [row["seconds"] - row["first_seconds"] for row in data["rows"]]
    panels[0].plot(jobs, work, marker="o", label="measured")
    panels[0].plot(jobs, [work[-1] * n / jobs[-1] for n in jobs], "--", label="in proportion to the last")
    panels[0].set(xscale="log", yscale="log", xlabel="jobs", title="seconds from the first job to the end")
    panels[0].legend()
    panels[1].plot(jobs, [row["driver_mib"] for row in data["rows"]], marker="o")
    panels[1].set(xscale="log", xlabel="jobs", title="the driver's memory, MiB")
    panels[1].set_ylim(bottom=0)
    figure.savefig(DOCS / "images" / PLOT, dpi=100, metadata={"Software": None})
    pyplot.close(figure)
