"""Child processes: their environment, their logs, and what to say when one fails."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from typing import NoReturn

from tools import ROOT
from tools.dev.errors import DevError
from tools.dev.paths import LOGS, Host, shown
from tools.harness.server_command import OPENMP

# What pip and uv say.
SIGNS = ("NewConnectionError", "NameResolutionError", "ConnectTimeoutError", "ProxyError", "error sending")
NO_NETWORK = (
    "expected a reachable package index, got no connection: check the network and the index settings of pip "
    "and uv, then run this again."
)
TAIL_LINES = 15


def clean_environment() -> dict[str, str]:
    """This process's environment without what would let foreign packages in."""
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    return kept | OPENMP | {"PYTHONNOUSERSITE": "1"}


def host_environment(host: Host) -> dict[str, str]:
    names = {"FREESCALE_COMFYUI": str(host.comfyui), "FREESCALE_BASE": str(host.base)}
    names |= {"FREESCALE_PYTHON": str(host.python)}
    external = {"PYTHONDONTWRITEBYTECODE": "1"} if host.is_external else {}
    return clean_environment() | names | {"FREESCALE_HOST": host.release} | external


def output_of(command: Sequence[object], **variables: str) -> str:
    """What a command that needs no time prints; nothing of one that cannot be started."""
    words = [str(part) for part in command]
    environment = clean_environment() | variables
    try:
        done = subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout + done.stderr


def attempt(command: Sequence[object], log_name: str, seconds: float | None = None, **variables: str) -> None:
    """Run a command that may fail, its output in a log file; on failure say briefly where to look.

    A command still at work after `seconds` is killed.
    """
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{log_name}.log"
    with log.open("wb") as stream:
        try:
            # close_fds=False hands on the set-up lock, the one inheritable descriptor; see steps.exclusive.
            status = subprocess.run(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=clean_environment() | variables,
                cwd=ROOT,
                close_fds=False,
                timeout=seconds,
            ).returncode
        except subprocess.TimeoutExpired:
            raise DevError(f"no end within {seconds:g} s, see {shown(log)}") from None
    if status:
        raise DevError(f"exit status {status}, see {shown(log)}")


def run_logged(command: Sequence[object], log_name: str, what: str, **variables: str) -> None:
    """Run a set-up command; on failure say what could not be done and show the end of its log."""
    try:
        attempt(command, log_name, None, **variables)
    except DevError as error:
        text = (LOGS / f"{log_name}.log").read_text(encoding="utf-8", errors="replace")
        offline = any(sign in text for sign in SIGNS)
        reason = NO_NETWORK if offline else f"expected exit status 0, got {error}, then run this again."
        tail = textwrap.indent("\n".join(text.splitlines()[-TAIL_LINES:]), "    ")
        raise DevError(f"Could not {what}: {reason}\n{tail}") from None


def run_shown(command: Sequence[object], environment: dict[str, str]) -> int:
    """Run a command on the terminal from the repository root; its exit status."""
    process = subprocess.Popen([str(part) for part in command], env=environment, cwd=ROOT)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.wait()  # the terminal sent Ctrl-C to the child as well; let it end first
        raise


def become(command: Sequence[object], environment: dict[str, str]) -> NoReturn:
    """Go on as `command`: where the system can, this process turns into it, so that signals reach it."""
    parts = [str(part) for part in command]
    sys.stdout.flush()
    if sys.platform == "win32":
        sys.exit(run_shown(parts, environment))
    os.chdir(ROOT)
    os.execve(parts[0], parts, environment)
