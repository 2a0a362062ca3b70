"""Set-up steps and the lock: what a kill at any moment leaves behind."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools import ROOT
from tools.dev import steps
from tools.dev.errors import DevError
from tools.dev.lock import exclusive


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python child that has printed its first line when this returns."""
    child = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    child.stdout.readline()
    return child


def kill(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.wait()


def test_a_step_killed_midway_is_not_done(tmp_path: Path) -> None:
    folder = tmp_path / "step"
    kill(
        start(
            "import pathlib, sys, time; f = pathlib.Path(sys.argv[1]); f.mkdir(); (f / 'half').touch(); "
            "print(flush=True); time.sleep(60)",
            folder,
        )
    )
    assert (folder / "half").exists()
    assert not steps.is_done(folder, steps.digest("inputs"))


def test_a_finished_step_is_done_until_an_input_changes(tmp_path: Path) -> None:
    steps.mark_done(tmp_path, steps.digest("torch==1"))
    assert steps.is_done(tmp_path, steps.digest("torch==1"))
    assert not steps.is_done(tmp_path, steps.digest("torch==2"))


def test_inputs_do_not_run_into_each_other() -> None:
    assert steps.digest("ab", "c") != steps.digest("a", "bc")


def test_a_step_whose_deletion_stopped_midway_is_not_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps.mark_done(tmp_path, "inputs")

    def stop(_: Path) -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(steps.shutil, "rmtree", stop)
    with pytest.raises(DevError, match="end whatever still uses it"):
        steps.remove(tmp_path)
    assert not steps.is_done(tmp_path, "inputs")


HOLD = """
import sys, subprocess, time
from pathlib import Path
from tools.dev.lock import exclusive
with exclusive(Path(sys.argv[1])):
    if len(sys.argv) > 2:
        sleep = [sys.executable, "-c", f"import time; time.sleep({sys.argv[2]})"]
        subprocess.Popen(sleep, close_fds=False, stdout=subprocess.DEVNULL)
    print(flush=True)
    time.sleep(60)
"""


def test_the_lock_of_a_killed_set_up_is_free(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kill(start(HOLD, tmp_path / "lock"))
    with exclusive(tmp_path / "lock"):
        pass
    assert capsys.readouterr().out == ""


if sys.platform != "win32":

    def test_what_a_killed_set_up_left_running_keeps_the_lock(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        began = time.monotonic()
        kill(start(HOLD, tmp_path / "lock", 2))
        with exclusive(tmp_path / "lock"):
            assert time.monotonic() - began > 1.5
        assert "waiting for it to end" in capsys.readouterr().out
