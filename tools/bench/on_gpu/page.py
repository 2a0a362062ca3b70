"""Shows a record: as text on the screen, and as a section of docs/PERFORMANCE.md."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools import ROOT
from tools.bench.on_gpu.record import Row
from tools.bench.on_gpu.tables import states, tables, unmeasured
from tools.page_texts import page_texts

DOCS = ROOT / "docs"
MUST_BE: dict[str, Callable[[Row], bool]] = {
    "golden": lambda row: row.get("most") is None or row["stage"] < row["most"],
    "base_size": lambda row: row["difference"] == 0.0,
    "finite": lambda row: row["finite"],
    "cascade": lambda row: row["finite"],
    "cancelled": lambda row: (row["outcome"], row["dilated"], row["difference"]) == ("cancelled", 0, 0.0),
    "memory_runs_out": lambda row: row["told"] == 1,
}
"""Step -> whether a row of it is as it must be on every device."""
TEXTS = page_texts(Path(__file__).with_suffix(".md"))
KEPT = "gpu_*.json"
"""Files in docs/performance, one for each card."""


def as_text(data: dict[str, Any]) -> str:
    from tools.bench.performance.results import text

    shown = [
        f"{table.title}. {table.text}\n\n{text(table.header, table.rows)}"
        for table in (*tables(data), states(data))
    ]
    failed = [f"{name}: {step['error']}" for name, step in data["steps"].items() if step.get("error")]
    return "\n\n".join([*shown, *failed])


def wrong(data: dict[str, Any]) -> list[str]:
    """A sentence for each step that failed or found what must not be."""
    found = [
        f"{name}: {step['state']}"
        for name, step in data["steps"].items()
        if step["state"] in ("failed", "running")
    ]
    for name, is_right in MUST_BE.items():
        rows = data["steps"].get(name, {}).get("rows", [])
        found += [f"{name}: wrong: {row}" for row in rows if not is_right(row)]
    return found


def keep(file: Path) -> None:
    """Copy a record to docs/performance, under the card's name.

    A "note" that somebody wrote into the file stands above its tables.
    """
    data = json.loads(file.read_text(encoding="utf-8"))
    if "steps" not in data or not any("tflop" in row for row in call_rows(data)):
        sys.exit(
            f"Expected a record with calls of SDXL, got {file} without: "
            "run `dev.py bench gpu --steps small_calls` on a GPU first."
        )
    name = re.sub(r"[^a-z0-9]+", "_", data["machine"]["card"].lower()).strip("_")
    (DOCS / "performance" / f"gpu_{name}.json").write_text(
        json.dumps(data, indent=1) + "\n", encoding="utf-8"
    )


def chapter(data: dict[str, Any], image: str) -> str:
    """Markdown. image: path of the plot, from the page."""
    from tools.bench.performance.results import markdown

    machine = data["machine"]
    facts = {
        "dynamic": "on" if machine["dynamic_vram"] else "off",
        "commit": data["steps"]["small_calls"]["commit"],
        "image": image,
    }
    names = unmeasured(data)
    missing = f"\n\nNot measured: {', '.join(names)}." if names else ""
    parts = [
        TEXTS["chapter"].format(
            **machine, **facts, note=f"\n\n{data['note']}" if "note" in data else "", missing=missing
        )
    ]
    for table in tables(data):
        parts += [
            f"### {table.title}\n",
            *([f"{table.text}\n"] if table.text else []),
            f"{markdown(table.header, table.rows)}\n",
        ]
    return "\n".join(parts)


def call_rows(data: dict[str, Any]) -> list[Row]:
    """Of the calls of all sizes, the smallest first."""
    return [
        row for name in ("small_calls", "large_calls") for row in data["steps"].get(name, {}).get("rows", [])
    ]
