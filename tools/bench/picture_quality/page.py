"""docs/QUALITY.md, docs/quality.json, plots and sheets."""

import json
from collections.abc import Sequence
from pathlib import Path

from tools import ROOT
from tools.bench.performance import results as tables_of_text
from tools.bench.picture_quality import plots, sheets
from tools.bench.picture_quality.answers import answers, ideas, told
from tools.bench.picture_quality.experiment import Subject
from tools.bench.picture_quality.families import REFERENCE
from tools.bench.picture_quality.figures import MEASURES, Figure, heading
from tools.bench.picture_quality.finished import PAGE, Finished, save_draws
from tools.bench.picture_quality.painter import SAMPLER, SCHEDULER
from tools.bench.picture_quality.results import Results
from tools.bench.picture_quality.store import Store
from tools.page_texts import page_texts

FINDINGS = ROOT / "tools" / "bench" / "quality_findings.md"
"""What a person saw in the images. Its first line, <!-- checkpoint SHA -->, says of which checkpoint."""
TEXTS = page_texts(Path(__file__).with_suffix(".md"))


def write(
    folder: Path, subject: Subject, tables: Sequence[Results], store: Store, finished: Finished, missing: int
) -> None:
    """Write all files below `folder` and print the tables."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    said = [
        f"{i}. **“{objection}”**\n" + "\n".join(f"   * {sentence}" for sentence in sentences)
        for i, (objection, sentences) in enumerate(answers(subject, tables), start=1)
    ]
    parts = [_introduction(subject, store, missing), _findings(store)]
    parts += [TEXTS["objections"].format(answers="\n".join(said)), _methods(tables)]
    for results in tables:
        name = results.table.name
        plots.curves(results, folder / "images" / f"quality_{name}_curves.png")
        parts += [_table(results), _ideas(results), _sheets(results, folder, store, finished)]
        print(f"\n{results.table.title}\n{tables_of_text.text(header(), rows(results))}")
    plots.summary(tables, folder / "images" / "quality_curves.png")
    (folder / "QUALITY.md").write_text("\n".join(filter(None, parts)), encoding="utf-8")
    write_figures(folder, tables, finished, missing)
    print(f"\n  {folder / 'QUALITY.md'}")


def write_figures(folder: Path, tables: Sequence[Results], finished: Finished, missing: int) -> None:
    """Write the two files that another run goes on from (`--finished`)."""
    data = {
        "made_with": finished.made_with | {"missing": missing},
        "tables": {results.table.name: results.as_data() for results in tables},
    }
    complete = {(r.table.name, name): r.samples(name) for r in tables for name in r.complete}
    save_draws(folder, complete)
    (folder / PAGE).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def header() -> list[str]:
    return ["", "images", *map(heading, MEASURES), "UNet calls", "UNet TFLOP"]


def rows(results: Results) -> list[list[str]]:
    found = []
    for name, point in results.points.items():
        figures, cost = results.figures(name), results.cost(name)
        cells = [_cell(measure, figures[measure]) for measure in MEASURES]
        ends = [f"{cost['calls']:.0f}", f"{cost['flops'] / 1e12:.3g}"] if cost else ["", ""]
        found.append([point.label, str(results.images(name)), *cells, *ends])
    return found


def _cell(measure: str, figure: Figure) -> str:
    value, *ends = (_number(x / MEASURES[measure].unit) for x in figure)
    return f"{value} ({' to '.join(ends)})" if "nan" not in ends else value


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"


def _introduction(subject: Subject, store: Store, missing: int) -> str:
    """The judge's bias and the toy are told only where they are true."""
    demo = subject.renders
    return TEXTS["introduction"].format(
        what=TEXTS["demo"].format(side=subject.side).strip() if demo else "",
        judge=TEXTS["judge"].rstrip("\n") if demo else "",
        crops="true renders of the same prompts" if demo else "the model's own base images",
        state=f"**Not finished: {missing} images are missing.**" if missing else "",
        side=subject.side,
        sampler=SAMPLER,
        scheduler=SCHEDULER,
        checkpoint=store.common["checkpoint"][:12],
        host=store.common["host"],
        steps=subject.sampling.steps,
        unet=store.common.get("unet", "as the host chooses"),
        cfg=f"{subject.sampling.cfg:g}",
    )


def _findings(store: Store) -> str:
    """The hand-written part, if it is about this checkpoint."""
    first, text = FINDINGS.read_text(encoding="utf-8").split("\n", 1)
    return text.strip() + "\n" if store.common["checkpoint"][:12] in first else ""


def _table(results: Results) -> str:
    verdicts = [
        f"* **{point.label}**: {told(results.against(name, REFERENCE))}."
        for name, point in results.points.items()
        if point.family.name != REFERENCE
    ]
    return TEXTS["table"].format(
        title=results.table.title,
        name=results.table.name,
        table=tables_of_text.markdown(header(), rows(results)),
        verdicts="\n".join(verdicts),
    )


def _methods(tables: Sequence[Results]) -> str:
    families = {point.family.name: point.family for results in tables for point in results.points.values()}
    lines = [
        f"* **{family.label}**{f', {family.knob}' if family.knob else ''}: {family.note}"
        for family in families.values()
    ]
    return TEXTS["methods"].format(methods="\n".join(lines))


def _ideas(results: Results) -> str:
    lines = [f"* {sentence}" for sentence in ideas(results)]
    return TEXTS["ideas"].format(ideas="\n".join(lines)) if lines else ""


def _sheets(results: Results, folder: Path, store: Store, finished: Finished) -> str:
    files = sheets.write(results, folder, store, finished)
    return "\n".join(TEXTS["sheet"].format(title=results.table.title, file=file.name) for file in files)
