"""What the benchmarks found: kept as JSON in docs/performance, told as text and in docs/PERFORMANCE.md."""

import json
import subprocess
from collections.abc import Iterable, Sequence
from typing import Any

from tools import ROOT

DOCS = ROOT / "docs"
KEPT = DOCS / "performance"
Rows = Iterable[Sequence[object]]


def save(name: str, data: dict[str, Any]) -> None:
    KEPT.mkdir(parents=True, exist_ok=True)
    (KEPT / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    print(f"  written: docs/performance/{name}.json")


def load(name: str) -> dict[str, Any] | None:
    path = KEPT / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def commit() -> str | None:
    """The commit that is checked out, None outside a git checkout.

    Figures hold for this state of the code only.
    """
    asked = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def markdown(header: Sequence[str], rows: Rows) -> str:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def text(header: Sequence[str], rows: Rows) -> str:
    table = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if not i else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    )
