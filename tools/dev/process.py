"""Child processes: their environment, their logs, and what to say when one fails."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from tools import ROOT
from tools.dev.errors import DevError
from tools.dev.paths import LOGS, Host, shown
from tools.harness.server_command import OPENMP

NO_NETWORK = (
    "NewConnectionError",
    "NameResolutionError",
    "ConnectTimeoutError",
    "ProxyError",
    "(from versions: none)",
)
TAIL_LINES = 15
ATTEMPT_SECONDS = 900.0


def clean_environment() -> dict[str, str]:
    """This process's environment without what would let foreign packages in."""
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    return kept | OPENMP | {"PYTHONNOUSERSITE": "1"}


def host_environment(host: Host) -> dict[str, str]:
    names = {
        "FREESCALE_COMFYUI": str(host.comfyui),
        "FREESCALE_BASE": str(host.base),
        "FREESCALE_HOST": host.release,
    }
    if host.is_external:
        names["PYTHONDONTWRITEBYTECODE"] = "1"
    return clean_environment() | names


def run_logged(command: Sequence[str | Path], log_name: str, what: str) -> None:
    """Run a set-up command with its output in a log file; on failure say what failed and show the log's
    end."""
    status, log = _logged(command, log_name)
    if status:
        raise DevError(failure_message(what, status, log))


def attempt(
    command: Sequence[str | Path], log_name: str, variables: dict[str, str] | None = None, folder: Path = ROOT
) -> None:
    """Run a command that may fail in `folder`, its output in a log file; on failure say briefly where to
    look."""
    status, log = _logged(command, log_name, variables, ATTEMPT_SECONDS, folder)
    if status:
        raise DevError(f"exit status {status}, see {shown(log)}")


def _logged(
    command: Sequence[str | Path],
    log_name: str,
    variables: dict[str, str] | None = None,
    seconds: float | None = None,
    folder: Path = ROOT,
) -> tuple[int, Path]:
    """The command's exit status and its log.

    A command still at work after `seconds` is killed: status 124.
    """
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{log_name}.log"
    with log.open("w", encoding="utf-8") as stream:
        # close_fds=False hands on the set-up lock, the one inheritable descriptor; see lock.exclusive.
        try:
            done = subprocess.run(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=clean_environment() | (variables or {}),
                cwd=folder,
                close_fds=False,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired:
            return 124, log
    return done.returncode, log


def failure_message(what: str, status: int, log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace")
    tail = "\n".join(f"    {line}" for line in text.splitlines()[-TAIL_LINES:])
    if any(sign in text for sign in NO_NETWORK):
        reason = (
            "expected a reachable package index, got no connection: "
            "check the network and pip's index settings, then run this again."
        )
    else:
        reason = (
            f"expected exit status 0, got {status}: see the end of {shown(log)} below, then run this again."
        )
    return f"Could not {what}: {reason}\n{tail}"


def run_shown(command: Sequence[str | Path], environment: dict[str, str]) -> int:
    """Run a command on the terminal from the repository root; its exit status."""
    process = subprocess.Popen([str(part) for part in command], env=environment, cwd=ROOT)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.wait()  # the terminal sent Ctrl-C to the child as well; let it end first
        raise


def become(command: Sequence[str | Path], environment: dict[str, str]) -> NoReturn:
    """Go on as `command`: where the system can, this process turns into it, so that signals reach it."""
    parts = [str(part) for part in command]
    sys.stdout.flush()
    if sys.platform == "win32":
        sys.exit(run_shown(parts, environment))
    os.chdir(ROOT)
    os.execve(parts[0], parts, environment)
