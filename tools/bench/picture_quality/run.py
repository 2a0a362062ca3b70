"""The whole benchmark, in a process where ComfyUI has started."""

import argparse
import json
import logging
import os
import time
from pathlib import Path

import comfy.utils
import torch

from tools import ROOT
from tools.bench.picture_quality import experiment
from tools.bench.picture_quality.experiment import DEMO_PROMPTS, FULL, SMOKE, Extent, Subject, Table
from tools.bench.picture_quality.families import ALL, FAMILIES
from tools.bench.picture_quality.families.family import Family
from tools.bench.picture_quality.finished import Finished
from tools.bench.picture_quality.make import make
from tools.bench.picture_quality.painter import Painter, Sampling, loaded
from tools.bench.picture_quality.store import Store, file_digest
from tools.harness.demo_checkpoint import DEMO
from tools.harness.demo_prompts import BASE_SIDE, CFG, CHECKPOINT

DOCS = ROOT / "docs"
DEMO_STEPS = 20
SMOKE_SIDE, SMOKE_STEPS = 64, 4
MADE_WITH = "made_with.json"


def main(options: argparse.Namespace) -> int:
    comfy.utils.set_progress_bar_enabled(False)
    logging.getLogger().setLevel(logging.ERROR)  # Thousands of images, each a dozen lines.
    torch.set_num_threads(options.threads)
    subject, extent = subject_of(options), SMOKE if options.smoke else FULL
    if not options.checkpoint:
        print("  the demo model, which is a toy; --checkpoint takes SDXL")
    if "upscale_model" not in FAMILIES:
        print("  without Real-ESRGAN, which tools/bench/requirements-upscale-model.txt brings")
    if "true_images" not in FAMILIES:
        print("  without true images, whose drawing tools/bench/requirements.txt brings")
    tables, families = chosen(options, subject, extent)
    store = image_store(options, subject)
    finished = Finished(options.finished, subject, experiment.tables(subject.side, extent), store)
    jobs = finished.left_of(experiment.plan(subject, tables, families, extent))
    if options.judge_only:
        missing = sum(not store.has(job.key) for job in jobs)
    else:
        with torch.inference_mode():
            painter = Painter(*loaded(subject.checkpoint, options.bf16), subject.sampling)
            missing = make(jobs, painter, store, time.monotonic() + 60 * options.minutes)
    if options.make_only:
        return 0
    return report(options, subject, extent, tables, families, store, finished, missing)


def chosen(options: argparse.Namespace, subject: Subject, extent: Extent) -> tuple[list[Table], list[Family]]:
    """The tables and families that are asked for and that this machine and the subject allow."""
    tables = [
        t for t in experiment.tables(subject.side, extent) if t.name in (options.tables or experiment.TITLES)
    ]
    families = [
        family
        for name, family in FAMILIES.items()
        if name in (options.families or FAMILIES) and (subject.renders or not family.of_renders)
    ]
    if not any(experiment.points(table, families, extent) for table in tables):
        raise SystemExit(
            "Expected families that have points in the tables, got none: leave out --families or --tables."
        )
    return tables, families


def report(
    options: argparse.Namespace,
    subject: Subject,
    extent: Extent,
    tables: list[Table],
    families: list[Family],
    store: Store,
    finished: Finished,
    missing: int,
) -> int:
    """Judge what is there and write the page. The smoke size ends with a sum, as the tests do."""
    from tools.bench.picture_quality import (
        page,
    )  # Not before: a machine that only makes images lacks its packages.
    from tools.bench.picture_quality.results import Results

    shown = families if options.families else ALL  # A point may be finished that this machine cannot make.
    found = [Results(subject, table, shown, extent, store, finished) for table in tables]
    whole = not (options.smoke or options.checkpoint or options.families or options.tables or missing)
    folder = options.output or (DOCS if whole else options.work / "report")
    page.write(folder, subject, [results for results in found if results], store, finished, missing)
    if not options.smoke:
        return 0
    wanted = sum(len(experiment.points(table, families, extent)) for table in tables)
    good = sum(len(results.points) for results in found)
    print(f"{good} passed, {wanted - good} failed")
    return int(good < wanted)


def subject_of(options: argparse.Namespace) -> Subject:
    """The demo model, or what the options name."""
    if not options.checkpoint:
        side, steps = (SMOKE_SIDE, SMOKE_STEPS) if options.smoke else (BASE_SIDE, DEMO_STEPS)
        prompts = tuple(" ".join(words) for words in DEMO_PROMPTS)
        return Subject(DEMO / CHECKPOINT, side, prompts, Sampling(CFG, options.steps or steps), renders=True)
    lines = options.prompts.read_text(encoding="utf-8").splitlines()
    prompts = tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if len(prompts) < 2:
        raise SystemExit(
            f"Expected at least 2 prompts in {options.prompts}, a line each, got {len(prompts)}."
        )
    sampling = Sampling(
        options.cfg, options.steps or (SMOKE_STEPS if options.smoke else 50), options.negative
    )
    return Subject(options.checkpoint, options.base, prompts, sampling, renders=False)


def image_store(options: argparse.Namespace, subject: Subject) -> Store:
    """Where images lie. Another machine's folder, taken with --judge-only, says itself what made it."""
    folder, kept = options.work / "images", options.work / "images" / MADE_WITH
    if options.judge_only:
        if not kept.is_file():
            raise SystemExit(f"Expected images in {folder}, found none: name the folder with --work.")
        made = json.loads(kept.read_text(encoding="utf-8"))
        return Store(folder, made["common"], made["code"], options.any_code)
    common = {
        "checkpoint": file_digest(subject.checkpoint),
        "host": os.environ["FREESCALE_HOST"],
        "torch": torch.__version__,
        "device": device_name(),
        "threads": options.threads,
        "unet": "bfloat16" if options.bf16 else "as the host chooses",
        **subject.key,
    }
    parts = Path(__file__).parent
    files = [*(ROOT / "freescale_core").rglob("*.py"), *(ROOT / "nodes").rglob("*.py")]
    code = file_digest(*sorted([*files, *(parts / "families").glob("*.py"), parts / "painter.py"]))
    store = Store(folder, common, code, options.any_code)
    kept.write_text(json.dumps({"common": common, "code": code}, indent=1), encoding="utf-8")
    return store


def device_name() -> str:
    import comfy.model_management

    device = comfy.model_management.get_torch_device()
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
