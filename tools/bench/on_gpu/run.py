"""One process after another, each with its own start of ComfyUI; one that dies or hangs costs its step
only."""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tools import ROOT
from tools.bench.on_gpu.record import Record
from tools.bench.on_gpu.steps import PROCESSES, START_SECONDS, STEPS, WITHOUT_DYNAMIC_VRAM
from tools.harness.server_command import OPENMP

CHILD = "--child"
COMMAND = [sys.executable, "-m", "tools.bench.gpu"]
PATIENCE, LEAST_PATIENCE = 4, 60
"""A step that takes so many times its estimate, and so many seconds, hangs."""
POLL_SECONDS = 0.5
SAFE_FLAGS = WITHOUT_DYNAMIC_VRAM
"""For a machine on which ComfyUI does not start otherwise."""


def measure(options: argparse.Namespace, comfyui: Path) -> Record:
    """Run the chosen steps; those of an earlier run that `options.out` holds stay."""
    deadline = time.time() + 60 * options.minutes
    chosen = options.steps.split(",") if options.steps else list(STEPS)
    for wanted, names in PROCESSES.items():
        # On a CPU there is no memory that these flags could manage, and ComfyUI refuses some of them.
        flags = () if options.device == "cpu" else wanted
        left = [name for name in names if name in chosen]
        while left and time.time() + START_SECONDS < deadline:
            print(f"ComfyUI {' '.join(flags) or 'without flags'}: {', '.join(left)}", flush=True)
            begun = _child(options, comfyui, flags, left, deadline)
            if not begun and flags == SAFE_FLAGS:
                record = Record(options.out)
                for name in left:
                    record.end(name, "failed", "ComfyUI did not start; see the log.")
                break
            if not begun:
                flags = SAFE_FLAGS
            left = [name for name in left if name not in begun]
    record = Record(options.out)
    for name in chosen:
        if name not in record.steps:
            record.end(name, "no time left")
    return record


def _child(
    options: argparse.Namespace, comfyui: Path, flags: tuple[str, ...], steps: list[str], deadline: float
) -> list[str]:
    """Which of the steps one process began."""
    told = {
        "comfyui": str(comfyui),
        "results": str(options.out),
        "device": options.device,
        "deadline": deadline,
        "steps": steps,
        "flags": flags,
        "tiny": options.tiny,
        "commit": options.commit,
    }
    quiet = OPENMP if options.device == "cpu" else {}
    started = time.time()
    with options.out.with_suffix(".log").open("ab") as log:
        command = [*COMMAND, CHILD, json.dumps(told)]
        child = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, env={**os.environ, **quiet}
        )
        while child.poll() is None:
            time.sleep(POLL_SECONDS)
            if _hangs(options.out, started):
                child.kill()
                child.wait()
    record = Record(options.out)
    for name, step in record.steps.items():
        if step["state"] == "running":
            record.end(name, "failed", "The process died or hung in this step; see the log.")
    if child.returncode == 0:
        return steps
    return [name for name in steps if record.steps.get(name, {}).get("begun", 0.0) >= started]


def _hangs(results: Path, started: float) -> bool:
    running = [name for name, step in Record(results).steps.items() if step["state"] == "running"]
    expected = STEPS[running[0]].seconds if running else START_SECONDS
    last = results.stat().st_mtime if results.exists() else started
    return time.time() - max(last, started) > max(LEAST_PATIENCE, PATIENCE * expected)
