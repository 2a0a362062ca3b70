"""The command as a process of its own, and whom it started."""

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from freescale_batch.keeper import users_of
from tools import ROOT

WAIT_SECONDS = 120.0
"""Longest wait for something that takes seconds on an idle machine."""
END_SECONDS = 40.0
"""What the processes of a killed command may take to end: Ray's own waits and the keeper's."""


class Command:
    """`python -m freescale_batch` on real Ray, with folders of its own for temporary files."""

    def __init__(self, folder: Path, comfyui: Path, words: list[str], python: str = sys.executable) -> None:
        """folder: where it runs; its processes are told from others by it. python: with the packages."""
        self._folder, self._main = folder, str(comfyui / "main.py")
        self._words = [python, "-m", "freescale_batch", *words]
        self._ray_folder = Path(tempfile.mkdtemp(prefix="fsb-"))  # short: the names of sockets have a limit
        self._log = self._ray_folder / "command.log"
        self.process: psutil.Popen | None = None

    def start(self) -> "Command":
        temporary = self._folder / "temporary"
        temporary.mkdir(exist_ok=True)
        # Not from the repository, so that workers find the package as those of other machines do.
        environment = os.environ | {"PYTHONPATH": str(ROOT), "RAY_TMPDIR": str(self._ray_folder)}
        environment |= {"TMPDIR": str(temporary)}
        with self._log.open("ab") as log:
            self.process = psutil.Popen(
                self._words, env=environment, cwd=self._folder, stdout=log, stderr=log
            )
        return self

    def wait(self, seconds: float = WAIT_SECONDS) -> int:
        return self.process.wait(seconds)

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def servers(self) -> list[psutil.Process]:
        """The servers of ComfyUI that live."""
        return [process for process in self._own() if words_of(process)[1:2] == [self._main]]

    def workers(self) -> list[psutil.Process]:
        """The processes of Ray that own them."""
        return [server.parent().parent() for server in self.servers()]

    def left(self) -> list[psutil.Process]:
        """All that lives of the command."""
        return [*self._own(), *users_of(str(self._ray_folder), {os.getpid()})]

    def ends(self) -> bool:
        """Whether all that lives of it ends within the time that it may take."""
        deadline = time.monotonic() + END_SECONDS
        while left := self.left():
            if time.monotonic() > deadline:
                print("left:", *map(words_of, left))
                return False
            time.sleep(0.05)
        return True

    def _own(self) -> list[psutil.Process]:
        return [process for process in processes() if str(self._folder) in " ".join(words_of(process))]

    def kill_all(self) -> None:
        for process in self.left():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        shutil.rmtree(self._ray_folder, ignore_errors=True)


@contextmanager
def running(made: Command) -> Iterator[Command]:
    """A started command; nothing of it outlives the block."""
    try:
        yield made.start()
        assert made.ends()
    except BaseException:
        print(made.log[-6000:])
        raise
    finally:
        made.kill_all()


def processes() -> Iterator[psutil.Process]:
    yield from (process for process in psutil.process_iter() if process.pid != os.getpid())


def words_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def kill(process: psutil.Process) -> None:
    """What a machine without memory does."""
    process.send_signal(signal.SIGKILL)


def wait_until(condition: Callable[[], object], seconds: float = WAIT_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)
