"""`dev.py bench gpu` without a GPU: every step runs on the demo model, and whatever happens, what was
measured is kept."""

import json
import os
import subprocess
import sys
from argparse import Namespace

import pytest

from tools import ROOT
from tools.bench.on_gpu import page, run
from tools.bench.on_gpu.record import Record
from tools.bench.on_gpu.steps import PROCESSES, START_SECONDS, STEPS
from tools.bench.on_gpu.tables import SHOWN, tables
from tools.harness.in_process import COMFYUI
from tools.harness.server_command import OPENMP

LIMIT_SECONDS = 9 * 60


def bench(out, *words):
    options = ["--comfyui", str(COMFYUI), "--device", "cpu", "--tiny", "--out", str(out), *words]
    environment = {**os.environ, **OPENMP}
    return subprocess.run([*run.COMMAND, *options], cwd=ROOT, capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def dry_run(tmp_path_factory):
    out = tmp_path_factory.mktemp("gpu") / "gpu.json"
    return bench(out), json.loads(out.read_text()), out.with_suffix(".log").read_text()


def rows(dry_run, name):
    return dry_run[1]["steps"][name]["rows"]


def test_every_step_runs_and_its_table_is_printed(dry_run):
    done, data, log = dry_run
    assert {name: step["state"] for name, step in data["steps"].items()} == dict.fromkeys(STEPS, "done"), log[
        -3000:
    ]
    assert done.returncode == 0, done.stderr
    shown = tables(data)
    # The ceilings stand in other tables.
    assert len(shown) == sum(bool(step["rows"]) for step in data["steps"].values()) - 1
    for table in shown:
        assert table.title in done.stdout and table.rows
        assert all(len(row) == len(table.header) for row in table.rows), table.title
    assert set(SHOWN) == set(STEPS) - {"machine"}


def test_what_it_finds_on_a_cpu_is_right(dry_run):
    assert all(row["stage"] < 1e-5 for row in rows(dry_run, "golden"))
    assert all(row["error"] < 1e-5 for row in rows(dry_run, "precision"))
    assert all(row["difference"] == 0.0 for row in rows(dry_run, "base_size"))
    assert all(row["finite"] for row in rows(dry_run, "finite"))
    fused = [row["distance"] for row in rows(dry_run, "finite") if row["variant"] != "unpatched"]
    assert min(fused) > 1e-3  # The patches did something.
    (cancelled,) = rows(dry_run, "cancelled")
    assert (cancelled["outcome"], cancelled["dilated"], cancelled["difference"]) == ("cancelled", 0, 0.0)
    assert all(row["told"] == 1 and row["error"] < 1e-5 for row in rows(dry_run, "memory_runs_out"))
    assert all(
        row["side"] == 512 and row["finite"] and row["stages"] == 2 for row in rows(dry_run, "cascade")
    )
    assert all(row["calls"] == 1 and row["milliseconds"] > 0 for row in rows(dry_run, "small_calls"))
    assert any("uncompiled" in line for line in rows(dry_run, "compiled")[1]["log"])


def test_a_run_can_be_told_as_a_chapter_of_the_page(dry_run):
    chapter = page.chapter(dry_run[1], "images/x.png")
    assert chapter.startswith("## Measured on CPU\n")
    assert all(f"### {table.title}" in chapter for table in tables(dry_run[1]))


def test_the_estimates_for_an_h100_sum_to_less_than_nine_minutes():
    assert sum(step.seconds for step in STEPS.values()) + START_SECONDS * len(PROCESSES) < LIMIT_SECONDS
    assert sorted(name for names in PROCESSES.values() for name in names) == sorted(STEPS)


def test_a_run_without_time_says_so_of_every_step(tmp_path):
    done = bench(tmp_path / "gpu.json", "--minutes", "0")
    steps = Record(tmp_path / "gpu.json").steps
    assert (
        done.returncode == 0
        and {step["state"] for step in steps.values()} == {"no time left"}
        and set(steps) == set(STEPS)
    )


DIES = """
import json, os, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from tools.bench.on_gpu.record import Record
options = json.loads(sys.argv[2])
record = Record(Path(options["results"]))
for name in options["steps"]:
    record.begin(name, [], None)
    record.add(name, {{"kept": 1}})
    if name == "golden":
        os._exit(11)
    record.end(name, "done")
"""


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """Runs steps with a script in the place of each process; the record."""

    def run_with(script, steps="machine", device="cpu"):
        file = tmp_path / "gpu.py"
        file.write_text(script)
        monkeypatch.setattr(run, "COMMAND", [sys.executable, str(file)])
        out = tmp_path / "gpu.json"
        options = Namespace(out=out, minutes=9.0, steps=steps, device=device, tiny=True, commit=None)
        return run.measure(options, COMFYUI).steps

    return run_with


def test_a_process_that_dies_costs_its_step_only(measured):
    steps = measured(DIES.format(root=str(ROOT)), "machine,golden,precision,channels_last")
    states = {name: step["state"] for name, step in steps.items()}
    assert states == {"machine": "done", "golden": "failed", "precision": "done", "channels_last": "done"}
    assert all(step["rows"] == [{"kept": 1}] for step in steps.values())
    assert "died" in steps["golden"]["error"]


def test_a_process_that_does_not_start_is_tried_once_without_dynamic_vram(measured, tmp_path):
    steps = measured("import sys; print('started with', sys.argv[1:]); sys.exit(3)", device="gpu")
    assert steps["machine"]["state"] == "failed"
    assert steps["machine"]["error"] == "ComfyUI did not start; see the log."
    started = (tmp_path / "gpu.log").read_text().splitlines()
    assert ["--disable-dynamic-vram" in line for line in started] == [False, True]


def test_an_earlier_runs_figures_stay_when_comfyui_does_not_start(measured, tmp_path):
    before = Record(tmp_path / "gpu.json")
    before.begin("machine", [], None)
    before.add("machine", {"kept": 1})
    before.end("machine", "done")
    assert measured("import sys; sys.exit(3)", device="gpu")["machine"]["rows"] == [{"kept": 1}]


WRONG = {
    "golden": {"most": 1e-4, "stage": 2e-4},
    "base_size": {"difference": 1e-7},
    "finite": {"finite": False},
    "cascade": {"finite": False},
    "cancelled": {"outcome": "cancelled", "dilated": 1, "difference": 0.0},
    "memory_runs_out": {"told": 0},
}


@pytest.mark.parametrize("name", WRONG)
def test_what_must_not_be_is_told(dry_run, name):
    assert page.wrong(dry_run[1]) == []
    data = json.loads(json.dumps(dry_run[1]))
    data["steps"][name]["rows"].append(WRONG[name])
    assert len(page.wrong(data)) == 1
    assert set(WRONG) == set(page.MUST_BE)
