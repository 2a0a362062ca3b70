"""A real headless ComfyUI as a child process, with folders of its own for what it writes."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import requests

from tools.harness.comfy_client import ComfyClient
from tools.harness.server_command import OPENMP, server_command

START_SECONDS = 600
STOP_SECONDS = 15
LOG_TAIL = 30


class ComfyServer:
    """`with ComfyServer(comfyui, base) as client:` starts main.py of the tree `comfyui` and ends it
    afterwards.

    base: ComfyUI's base directory; its custom nodes and models are used, nothing in it is written.
    more: further folders by ComfyUI's name for what they hold, such as custom_nodes or checkpoints.
    """

    def __init__(self, comfyui: Path, base: Path, more: Mapping[str, Sequence[Path]] | None = None) -> None:
        self.comfyui = comfyui
        self.base = base
        self._more = more or {}
        self._temporary = tempfile.TemporaryDirectory(prefix="freescale-server-", ignore_cleanup_errors=True)
        self.folder = Path(self._temporary.name)
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def from_environment(cls, more: Mapping[str, Sequence[Path]] | None = None) -> "ComfyServer":
        """The host that dev.py names in FREESCALE_COMFYUI and FREESCALE_BASE."""
        missing = [name for name in ("FREESCALE_COMFYUI", "FREESCALE_BASE") if name not in os.environ]
        if missing:
            raise RuntimeError(
                f"Expected {' and '.join(missing)} in the environment, got none: start this through dev.py."
            )
        return cls(Path(os.environ["FREESCALE_COMFYUI"]), Path(os.environ["FREESCALE_BASE"]), more)

    @property
    def log(self) -> str:
        """All that the server has printed so far."""
        return self._log_file.read_text(encoding="utf-8", errors="replace")

    def __enter__(self) -> ComfyClient:
        port = free_port()
        for name in ("user", "output", "temp", "input"):
            (self.folder / name).mkdir()
        self._give_example_picture()
        with self._log_file.open("wb") as log:
            self._process = subprocess.Popen(
                self._command(port),
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | OPENMP | {"PYTHONUNBUFFERED": "1"},
                cwd=self.folder,
            )
        client = ComfyClient(f"127.0.0.1:{port}")
        try:
            self._wait_until_it_answers(client)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return client

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._temporary.cleanup()

    @property
    def _log_file(self) -> Path:
        return self.folder / "server.log"

    def _give_example_picture(self) -> None:
        """ComfyUI's input folder holds example.png from the start."""
        example = self.comfyui / "input" / "example.png"
        if example.is_file():
            shutil.copy(example, self.folder / "input")

    def _command(self, port: int) -> list[str]:
        folders = {name: self.folder / name for name in ("user", "output", "temp", "input")}
        command = server_command(sys.executable, self.comfyui, self.base, port, folders=folders)
        command += ["--preview-method", "latent2rgb", "--use-pytorch-cross-attention"]
        if self._more:
            paths = self.folder / "paths.yaml"  # JSON is YAML.
            folders_of = {kind: "\n".join(map(str, folders)) for kind, folders in self._more.items()}
            paths.write_text(json.dumps({"tests": folders_of}), encoding="utf-8")
            command += ["--extra-model-paths-config", str(paths)]
        return command

    def _wait_until_it_answers(self, client: ComfyClient) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                client.get("/system_stats")
                return
            except requests.ConnectionError:
                pass
            assert self._process is not None
            status = self._process.poll()
            if status is not None or time.monotonic() > deadline:
                what = f"exit status {status}" if status is not None else f"no answer in {START_SECONDS} s"
                tail = "\n".join(self.log.splitlines()[-LOG_TAIL:])
                raise RuntimeError(f"Expected a running ComfyUI, got {what}: see the end of its log.\n{tail}")
            time.sleep(0.2)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
