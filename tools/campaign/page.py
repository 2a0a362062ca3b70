"""docs/RELIABILITY.md: the figures of the logs, what the campaigns do, and the texts of page.md.

docs/reliability.json keeps the figures, so that the page can be written anew without the logs.
"""

import json
import re
from pathlib import Path
from typing import Any

from tools import ROOT
from tools.campaign.runner import campaigns, read_log, summary
from tools.page_texts import page_texts

RECORD = ROOT / "docs" / "reliability.json"
PAGE = ROOT / "docs" / "RELIABILITY.md"
TEXTS = page_texts(Path(__file__).with_suffix(".md"))
LOG_NAME = re.compile(r"(?P<campaign>[a-z]+)-(?P<host>.+)-(?P<code>[0-9a-f]{8})-(?P<seed>-?\d+)")

Row = dict[str, Any]
"""The figures of one campaign on one host."""


def write(logs: Path) -> None:
    """Bring the record up to the logs of a folder, and the page up to the record."""
    rows = updated(json.loads(RECORD.read_text(encoding="utf-8")), rows_of(logs))
    RECORD.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    PAGE.write_text(page(rows), encoding="utf-8")


def rows_of(logs: Path) -> list[Row]:
    """Of each campaign and host the figures of the code that ran last, all its seeds together."""
    newest: dict[tuple[str, str], tuple[str, list[Path]]] = {}
    for file in sorted(logs.glob("*.jsonl"), key=lambda file: file.stat().st_mtime):
        name = LOG_NAME.fullmatch(file.stem)
        if name and read_log(file):  # A campaign whose first case is still running has none.
            place, code = (name["campaign"], name["host"]), name["code"]
            others = newest[place][1] if place in newest and newest[place][0] == code else []
            newest[place] = code, [*others, file]
    return [
        {"campaign": campaign, "host": host, "code": code}
        | {"seeds": sorted(int(LOG_NAME.fullmatch(file.stem)["seed"]) for file in files)}  # type: ignore[index]
        | summary([line for file in sorted(files) for line in read_log(file)])
        for (campaign, host), (code, files) in newest.items()
    ]


def updated(known: list[Row], rows: list[Row]) -> list[Row]:
    """The known rows, replaced or joined by others, of campaigns that there are, in order."""
    merged = {_place(row): row for row in (*known, *rows)}
    return [merged[place] for place in sorted(merged) if place[0] in campaigns()]


def page(rows: list[Row]) -> str:
    place = ("campaign", "ComfyUI")
    ends = [(row["cases"], _minutes(row), _counted(row["endings"]), len(row["found"])) for row in rows]
    broken = [(*_place(row), text) for row in rows for text in row["found"]]
    subjects = [(*_place(row), _counted(row["subjects"])) for row in rows]
    measured = [
        (*_place(row), *figure) for row in rows for figures in row["figures"] for figure in figures.items()
    ]
    parts = (
        TEXTS["introduction"],
        _table(
            (*place, "cases", "minutes", "how they ended", "promises broken"),
            [(*_place(row), *end) for row, end in zip(rows, ends, strict=True)],
        ),
        _section("broken", (*place, "case"), broken),
        _not_run(rows),
        TEXTS["campaigns"],
        *(f"**{name}**: {' '.join(text.split())}\n" for name, text in campaigns().items()),
        _section("what_was_run", (*place, "cases"), subjects),
        _section("measured", (*place, "what", "value"), measured),
        TEXTS["rest"].rstrip("\n") + "\n",
    )
    return "\n".join(filter(None, parts))


def _place(row: Row) -> tuple[str, str]:
    return row["campaign"], row["host"]


def _section(name: str, head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    """A text and the table below it, nothing without rows."""
    return f"{TEXTS[name]}\n{_table(head, rows)}" if rows else ""


def _not_run(rows: list[Row]) -> str:
    """Which campaigns have no figures, nothing if all have some."""
    names = sorted(set(campaigns()) - {row["campaign"] for row in rows})
    return f"Not run for the record yet: {', '.join(names)}.\n" if names else ""


def _minutes(row: Row) -> str:
    return f"{row['seconds'] / 60:.0f}"


def _counted(counts: dict[str, int]) -> str:
    most_first = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {count}" for name, count in most_first)


def _table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    return "".join(_line(line) for line in (head, tuple("---" for _ in head), *rows))


def _line(cells: tuple[object, ...]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |\n"
