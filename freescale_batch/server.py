"""One ComfyUI server as a child process, with a port and folders of its own."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from .comfy import Comfy
from .errors import ServerError

KEEPER = Path(__file__).with_name("keeper.py")
FOLDERS = ("input", "output", "temp", "user")
LOG_LINES = 15
PREFIX = "freescale-batch-"
STARTS = 3
"""Another program may take the port between its choice and the server's start: then another port."""
STOP_SECONDS = 30.0
POLL_SECONDS = 0.2
ON_CPU = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
"""Several servers on one processor: their threads must not wait by turning in circles."""


@dataclass(frozen=True)
class ServerOptions:
    """How ComfyUI is started.

    comfyui: its tree. python: of its environment, "" looks for one in the tree.
    arguments: more words for main.py.
    needs: types of nodes that it must have. start_seconds: longest time until it answers.
    """

    comfyui: str
    python: str
    cpu: bool = False
    arguments: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    start_seconds: float = 600.0


class Server:
    """A running server. Ends with this process, however that ends.

    versions: of ComfyUI, Python and PyTorch, as far as it tells them.
    jobs_done: how many jobs it has finished. last_files: what the last of them saved.
    """

    def __init__(self, options: ServerOptions) -> None:
        """Start ComfyUI and wait until it answers.

        Raises:
            ServerError: it did not start, or lacks nodes that are needed.
        """
        self.options = options
        self.jobs_done = 0
        self.last_files: list[Path] = []
        remove_left_folders()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
        self._fill_folder()
        port = free_port()
        self._keeper = self._start(port)
        self.comfy = Comfy(port)
        try:
            self._wait_until_it_answers()
            self._require_nodes()
            self.versions = self._versions()
        except BaseException:  # Ctrl-C, too: nobody else can end this server yet.
            self.stop()
            raise

    def _fill_folder(self) -> None:
        for name in FOLDERS:
            (self.folder / name).mkdir()
        # The input folder shows the user's files, and files of jobs come in beside them.
        source = input_folder(self.options)
        for entry in source.iterdir() if source.is_dir() else ():
            place = self.folder / "input" / entry.name
            try:
                place.symlink_to(entry, target_is_directory=entry.is_dir())
            except OSError:  # Windows without the privilege for links
                if entry.is_file():
                    shutil.copy2(entry, place)

    def _start(self, port: int) -> "subprocess.Popen[bytes]":
        words = [sys.executable, str(KEEPER), "server", str(self.folder), *self._command(port)]
        environment = os.environ | {"PYTHONUNBUFFERED": "1"} | (ON_CPU if self.options.cpu else {})
        with self._log_file.open("wb") as log:
            return subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, env=environment
            )

    def _command(self, port: int) -> list[str]:
        options = self.options
        folders = [word for name in FOLDERS for word in (f"--{name}-directory", str(self.folder / name))]
        return [
            *(self._python, str(Path(options.comfyui) / "main.py")),
            *(["--cpu"] if options.cpu else []),
            *("--listen", "127.0.0.1", "--port", str(port), *folders),
            *("--database-url", f"sqlite:///{(self.folder / 'comfyui.db').as_posix()}"),
            *("--disable-auto-launch", "--disable-api-nodes", *without_folders(options.arguments)),
        ]

    @property
    def _python(self) -> str:
        return self.options.python or default_python(self.options.comfyui)

    @property
    def _log_file(self) -> Path:
        return self.folder / "server.log"

    def log_tail(self) -> str:
        """The last lines that the server has printed."""
        try:
            text = self._log_file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-LOG_LINES:])

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + self.options.start_seconds
        while not self._answers():
            if (status := self.exit_status()) is not None:
                raise ServerError(
                    f"expected ComfyUI to start, got exit status {status}: read its log's end, and if a "
                    f"module is missing, name ComfyUI's Python with --python (now {self._python}).\n"
                    f"{self.log_tail()}"
                )
            if time.monotonic() > deadline:
                raise ServerError(
                    f"expected ComfyUI to answer within {self.options.start_seconds:g} s, got none: read its "
                    f"log's end.\n{self.log_tail()}"
                )
            time.sleep(POLL_SECONDS)

    def _answers(self) -> bool:
        """Whether this server answers, and not another one that was faster to take the port."""
        try:
            words = self.comfy.get("/system_stats")["system"]["argv"]
        except httpx.HTTPError:
            return False
        return str(self.folder / "output") in words

    def _require_nodes(self) -> None:
        known = self.comfy.get("/object_info") if self.options.needs else {}
        if missing := sorted(set(self.options.needs) - known.keys()):
            raise ServerError(
                f"expected the workflow's nodes in ComfyUI, got none called {', '.join(missing)}: install "
                f"their packs, and read the log's end if one failed to load.\n{self.log_tail()}"
            )

    def _versions(self) -> dict[str, str]:
        system = self.comfy.get("/system_stats")["system"]
        names = {"comfyui": "comfyui_version", "python": "python_version", "torch": "pytorch_version"}
        return {name: str(system[key]) for name, key in names.items() if system.get(key)}

    def exit_status(self) -> int | None:
        """None while the server lives, else its exit status, 128 + N after signal N."""
        status = self._keeper.poll()
        return status if status is None or status >= 0 else 128 - status

    def memory(self) -> dict[str, int]:
        """Bytes in use now: ram of the server's processes, vram of its GPU, all programs on it together."""
        used = {"ram": sum(map(_resident, self._processes()))}
        for device in self.comfy.get("/system_stats")["devices"][:1]:
            if device.get("type") != "cpu":
                used["vram"] = device["vram_total"] - device["vram_free"]
        return used

    def _processes(self) -> list[psutil.Process]:
        try:
            children: list[psutil.Process] = psutil.Process(self._keeper.pid).children(recursive=True)
            return children
        except psutil.NoSuchProcess:
            return []

    def stop(self) -> None:
        """End the server and remove its folder."""
        self.comfy.close()
        assert self._keeper.stdin is not None
        try:
            self._keeper.stdin.close()  # what the keeper waits for
            self._keeper.wait(STOP_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            self._keeper.kill()
            self._keeper.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def start_server(options: ServerOptions) -> Server:
    """Start a server, with another port if the first was taken.

    Raises:
        ServerError: none of the tries gave a running server.
    """
    for _ in range(STARTS - 1):
        try:
            return Server(options)
        except ServerError as error:
            if "address already in use" not in str(error).lower():
                raise
    return Server(options)


def remove_left_folders() -> None:
    """Remove servers' folders whose owner and keeper were both killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        owner = folder.name.removeprefix(PREFIX).split("-")[0]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def default_python(comfyui: str) -> str:
    """The Python of a virtual environment in ComfyUI's tree, else the one that runs this."""
    program = "Scripts/python.exe" if sys.platform == "win32" else "bin/python"
    places = [Path(comfyui) / name / program for name in (".venv", "venv")]
    return next((str(place) for place in places if place.is_file()), sys.executable)


def input_folder(options: ServerOptions) -> Path:
    """The folder that ComfyUI would take pictures from if the batch gave it none."""
    given = dict(zip(options.arguments, options.arguments[1:], strict=False))
    base = given.get("--base-directory", options.comfyui)
    return Path(given.get("--input-directory", Path(base) / "input"))


def without_folders(arguments: Sequence[str]) -> list[str]:
    """The arguments without --input-directory, which the batch sets."""
    words = list(arguments)
    if "--input-directory" in words:
        place = words.index("--input-directory")
        del words[place : place + 2]
    return words


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
