"""Are FreeScale's pictures better, and which of its parts makes them so? python3 dev.py bench quality --help.

Makes pictures of the same prompts and seeds by many methods on the demo model, judges them, and writes
docs/QUALITY.md, docs/quality.json and docs/images/quality_*.jpg.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import tools.harness.in_process  # noqa: F401, I001 (ComfyUI, then the pack, ready for use in this process)

# isort: split
import comfy.utils
import torch

from tools import ROOT
from tools.bench.picture_quality import document, settings
from tools.bench.picture_quality.jobs import all_jobs, complete, make, shown_bases
from tools.bench.picture_quality.methods import Painter
from tools.bench.picture_quality.scores import table_of
from tools.bench.picture_quality.settings import FULL_TABLE, SMOKE
from tools.bench.picture_quality.store import Store, file_digest
from tools.harness.demo_checkpoint import demo_checkpoint
from tools.harness.demo_prompts import CHECKPOINT

WORK = ROOT / ".dev" / "bench" / "quality"
DOCS = ROOT / "docs"


def main() -> int:
    options = parse_arguments()
    comfy.utils.set_progress_bar_enabled(False)
    torch.set_num_threads(options.threads)
    extent = SMOKE if options.smoke else FULL_TABLE
    everything = settings.groups(extent, options.extra)
    groups = tuple(group for group in everything if group.name in (options.tables or settings.TABLES))
    store = picture_store(options)
    with torch.inference_mode():
        jobs = all_jobs(shown_bases(everything[0]), groups, extent)
        missing = make(
            jobs[::-1] if options.from_the_end else jobs,
            Painter(*demo_checkpoint()),
            store,
            time.monotonic() + 60 * options.limit_minutes,
        )
    if options.from_the_end:
        return 1 if missing else 0
    done = [(group, complete(group, store)) for group in groups]
    tables = [
        (group, pictures, table_of(group, extent, pictures, store))
        for group, pictures in done
        if len(pictures) > 1
    ]
    bases = [job for job in shown_bases(everything[0]) if store.has(job.key)]
    whole = extent is FULL_TABLE and {group.name for group in groups} == set(settings.TABLES) and not missing
    folder = options.output or (DOCS if whole else WORK / "report")
    document.write(folder, bases, tables, store)
    return 1 if missing else 0


def parse_arguments() -> argparse.Namespace:
    words = ", ".join(settings.EXTRA)
    parser = argparse.ArgumentParser(prog="dev.py bench quality", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--smoke", action="store_true", help="two prompts, one seed: minutes, figures without meaning")
    add("--extra", nargs="+", choices=settings.EXTRA, default=[], metavar="WORD", help=f"more rows: {words}")
    add("--tables", nargs="+", choices=settings.TABLES, help="default: all; 2x_more needs --extra")
    add("--limit-minutes", type=float, default=float("inf"), help="make pictures no longer; a rerun goes on")
    add("--threads", type=int, default=settings.THREADS, help="of torch, which change bits: %(default)s")
    add("--from-the-end", action="store_true", help="beside a process that goes forwards; no report")
    add("--any-code", action="store_true", help="also take pictures made by an earlier state of the code")
    add("--output", type=Path, help="folder; docs for the full table, else .dev/bench/quality/report")
    options = parser.parse_args()
    if "2x_more" in (options.tables or ()) and not options.extra:
        parser.error("expected --extra with the table 2x_more, got none: name its rows")
    return options


def picture_store(options: argparse.Namespace) -> Store:
    common = {
        "checkpoint": file_digest(ROOT / "tools" / "demo" / CHECKPOINT),
        "host": os.environ["FREESCALE_HOST"],
        "torch": torch.__version__,
        "threads": options.threads,
        "sampling": [settings.CFG, settings.SAMPLER, settings.SCHEDULER],
    }
    code = file_digest(
        *sorted(path for folder in ("freescale_core", "nodes") for path in (ROOT / folder).rglob("*.py"))
    )
    return Store(WORK / "pictures", common, code, options.any_code)


if __name__ == "__main__":
    sys.exit(main())
