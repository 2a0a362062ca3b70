"""Ends a ComfyUI server, or what is left of Ray, as soon as the process that needs it is gone.

A keeper reads its standard input, a pipe of its owner. When the owner ends, in whatever way and on whatever
system, the pipe closes. Started by its file, not as a module, with the package's Python.

keeper.py server FOLDER COMMAND...   run a command; at the end kill all its processes, remove FOLDER
keeper.py session FOLDER             at the end kill the processes that have a file below FOLDER open
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import psutil

PR_SET_PDEATHSIG = 1
GRACE_SECONDS = 5.0
"""What Ray gets to end its processes by itself."""
LONGEST_WAIT_SECONDS = 20.0
POLL_SECONDS = 0.2
SIGNALLED = 128
"""A shell's exit status of a command that signal N ended is this plus N."""


def keep_server(folder: str, command: list[str]) -> int:
    """Run a command until it ends or the owner does; returns its exit status as a shell gives it."""
    server = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_die_with_keeper()
    )
    threading.Thread(target=_end_with_owner, args=(server, folder), daemon=True).start()
    status = server.wait()
    end_tree(server)
    return status if status >= 0 else SIGNALLED - status


def _die_with_keeper() -> Callable[[], object] | None:
    """On Linux: what makes the server die even of a keeper that is killed."""
    if sys.platform != "linux":
        return None
    import ctypes

    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _end_with_owner(server: "subprocess.Popen[bytes]", folder: str) -> None:
    wait_for_owner()
    end_tree(server)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def wait_for_owner() -> None:
    """Return when the owner has ended or closed its end of the pipe."""
    while os.read(0, 4096):  # not sys.stdin, whose lock would be held at this process's own end
        pass


def end_tree(server: "subprocess.Popen[bytes]") -> None:
    """Kill a process and all that came of it."""
    try:
        family = [*psutil.Process(server.pid).children(recursive=True), psutil.Process(server.pid)]
    except psutil.NoSuchProcess:
        family = []
    kill(family)
    if sys.platform != "win32":
        # Children of a server that died before them are nobody's children, but of its session.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def keep_session(folder: str) -> None:
    """Wait for the owner's end, then kill what still works below the folder after a while."""
    spared = {os.getpid(), os.getppid()}  # an owner that only closed its pipe has its logs open
    wait_for_owner()
    start = time.monotonic()
    while (left := users_of(folder, spared)) and time.monotonic() < start + LONGEST_WAIT_SECONDS:
        if time.monotonic() > start + GRACE_SECONDS:
            kill(left)
        time.sleep(POLL_SECONDS)


def users_of(folder: str, spared: set[int]) -> list[psutil.Process]:
    """Processes of this user that have a file below the folder open."""
    inside = os.path.join(os.path.realpath(folder), "")
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid not in spared and any(f.path.startswith(inside) for f in process.open_files()):
                found.append(process)
        except (psutil.Error, OSError):  # it ended meanwhile, or is another user's
            continue
    return found


def kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=LONGEST_WAIT_SECONDS)


if __name__ == "__main__":
    kind, place, *words = sys.argv[1:]
    for number in (signal.SIGINT, signal.SIGTERM):  # Ctrl-C is for the owner, whose end is ours
        signal.signal(number, signal.SIG_IGN)
    if kind == "server":
        sys.exit(keep_server(place, words))
    keep_session(place)
