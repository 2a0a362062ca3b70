"""Runs one job after another on a ComfyUI server of its own. Knows nothing of Ray.

A job is tried twice if its server dies, hangs or runs out of memory. The tries are counted in the store
before they begin, so a job that kills its server, its worker or its machine fails alone.
"""

import contextlib
import hashlib
import json
import os
import platform
import socket
import time
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import fsspec
import httpx

from .comfy import OutOfMemory, OutputFile, shortened
from .errors import JobFailed, ServerError, TryAgain
from .jobs import Job, name_of
from .outcome import Outcome
from .server import Server, ServerOptions, start_server
from .store import Store
from .workflow import Prompt, resolve, seed_inputs, workflow_fingerprint

MAX_ATTEMPTS = 2
SILENT_SECONDS = 120.0
"""A server that lives and does not answer for so long has hung."""
INTERRUPT_SECONDS = 30.0
"""What a job gets to end after /interrupt, before its server is killed."""
DEATH_SECONDS = 3.0
FIRST_POLL_SECONDS, LAST_POLL_SECONDS = 0.02, 1.0
MEMORY_SECONDS = 2.0
"""Between two looks at the memory."""


class ServerDied(TryAgain):
    """The server ended or hung in the middle of a job."""


class FilesGone(TryAgain):
    """The server named files of an earlier job, which are no longer there."""


@dataclass(frozen=True)
class WorkerOptions:
    """What every worker needs.

    job_timeout: seconds. recycle: jobs after which a server is replaced, 0 = never.
    pause: seconds to wait before a job is given back because no server starts.
    """

    workflow: Prompt
    out: str
    server: ServerOptions
    job_timeout: float = 14400.0
    recycle: int = 0
    pause: float = 60.0
    versions: tuple[tuple[str, str], ...] = ()


class Worker:
    """`worker(row)` runs the job of a row, which is its JSON text, and returns what became of it."""

    def __init__(self, options: WorkerOptions) -> None:
        self._server: Server | None = None
        self.options = options
        self.name = worker_name()
        self._store = Store(options.out)
        self._mark = workflow_fingerprint(options.workflow)
        self._versions: dict[str, str] = {}
        self._jobs_of_server = 0
        self._gave_back = False
        self._last_files: list[Path] = []

    def __call__(self, row: dict[str, str]) -> dict[str, Any]:
        """Run a job; never raises, whatever the job does."""
        job = Job(**json.loads(row["job"]))
        try:
            outcome = self._settle(job)
            self._gave_back = False
        except Exception as error:  # The store's errors and our own: the job is not at fault.
            outcome = self._give_back(job, error)
        return replace(outcome, process=os.getpid()).row()

    def close(self) -> None:
        """End the server."""
        if self._server is not None:
            server, self._server = self._server, None
            server.stop()

    def __del__(self) -> None:
        self.close()  # Ray drops a worker that it needs no longer, and kills its children a moment later

    def _give_back(self, job: Job, error: Exception) -> Outcome:
        """Leave a job open; from the second time on after a pause, or all jobs would come back at once."""
        if self._gave_back:
            time.sleep(self.options.pause)
        self._gave_back = True
        with contextlib.suppress(Exception):  # This process lives, so it was no job that kills.
            self._store.forget_attempts(job.id)
        told = str(error) if isinstance(error, ServerError) else traceback.format_exc(limit=-3)
        return Outcome(job.id, "not run", self.name, error=told)

    def _settle(self, job: Job) -> Outcome:
        if self._store.is_done(job.id):  # Ray may hand a row out again after a worker was lost
            return Outcome(job.id, "done", self.name)
        if (failed := self._store.failure(job.id)) is not None:  # in this command, see open_jobs
            return Outcome(job.id, "failed", self.name, error=failed)
        count, error = self._store.attempts(job.id)
        while count < MAX_ATTEMPTS:
            server = self._ready_server()
            count += 1
            # What stands there if neither this process nor the next one can say more:
            self._store.note_attempt(job.id, count, "the worker ended in the middle of it")
            start = time.monotonic()
            try:
                record = self._run(job, server)
            except JobFailed as failure:
                return self._fail(job, str(failure), count)
            except TryAgain as failure:
                error = str(failure)
                self._store.note_attempt(job.id, count, error)
                self._recover(failure)
            else:
                seconds = time.monotonic() - start
                self._store.finish(job.id, record | {"seconds": round(seconds, 3), "attempts": count})
                self._jobs_of_server += 1
                return Outcome(job.id, "done", self.name, seconds)
        return self._fail(job, f"{error} ({count} attempts)", count)

    def _fail(self, job: Job, error: str, attempts: int) -> Outcome:
        record = {"error": error, "attempts": attempts, "worker": self.name, "workflow": self._mark}
        self._store.fail(job.id, {"id": job.id, "job": job.line()} | record)
        return Outcome(job.id, "failed", self.name, error=error)

    def _recover(self, failure: TryAgain) -> None:
        if isinstance(failure, OutOfMemory | FilesGone) and self._server is not None:
            with contextlib.suppress(httpx.HTTPError):
                self._server.comfy.free()
                return
        self.close()

    # The server

    def _ready_server(self) -> Server:
        if self._server is not None and self._is_used_up(self._server):
            self.close()
        if self._server is None:
            self._server = start_server(self.options.server)
            self._versions = self._versions_of(self._server)
            self._jobs_of_server = 0
            self._last_files = []
        return self._server

    def _is_used_up(self, server: Server) -> bool:
        recycle = self.options.recycle
        return server.exit_status() is not None or bool(recycle) and self._jobs_of_server >= recycle

    def _versions_of(self, server: Server) -> dict[str, str]:
        system = server.comfy.get("/system_stats")["system"]
        names = {"comfyui": "comfyui_version", "python": "python_version", "torch": "pytorch_version"}
        told = {name: str(system[key]) for name, key in names.items() if system.get(key)}
        return dict(self.options.versions) | told

    # One job

    def _run(self, job: Job, server: Server) -> dict[str, Any]:
        """Run a job, store its files; returns its record."""
        prompt, inputs = self._prompt(job, server)
        try:
            prompt_id = server.comfy.queue(prompt)
            files, peak = self._wait(prompt_id, server)
            server.comfy.forget(prompt_id)
        except httpx.HTTPError as error:
            raise self._death(server, error) from None
        finally:
            for place in inputs:
                place.unlink(missing_ok=True)
        hashes = self._collect(job, files, server)
        return {
            "id": job.id,
            "seed": _seed(prompt),
            "set": job.set,
            "prompt": prompt,
            "files": hashes,
            "peak_memory": peak,
            "versions": self._versions,
            "workflow": self._mark,
            "worker": self.name,
        }

    def _prompt(self, job: Job, server: Server) -> tuple[Prompt, list[Path]]:
        """The job's prompt, and its files in the server's input folder."""
        prompt, places = job.prompt(self.options.workflow), []
        for target, source in job.files.items():
            content = _content(source)
            name = hashlib.sha256(content).hexdigest()[:16] + Path(name_of(source)).suffix
            places.append(server.folder / "input" / name)
            places[-1].write_bytes(content)
            node_id, input_name = resolve(prompt, target)
            prompt[node_id]["inputs"][input_name] = name
        return prompt, places

    def _wait(self, prompt_id: str, server: Server) -> tuple[list[OutputFile], dict[str, int]]:
        """The files that a prompt saved, and the largest memory seen meanwhile."""
        start = looked = answered = time.monotonic()
        pause, peak = FIRST_POLL_SECONDS, dict[str, int]()
        while True:
            try:
                if (files := server.comfy.result(prompt_id)) is not None:
                    return files, _largest(peak, server.memory())
                if time.monotonic() - looked > MEMORY_SECONDS:
                    looked, peak = time.monotonic(), _largest(peak, server.memory())
                answered = time.monotonic()
            except httpx.HTTPError as error:
                if server.exit_status() is not None or time.monotonic() - answered > SILENT_SECONDS:
                    raise self._death(server, error) from None
            if time.monotonic() - start > self.options.job_timeout:
                self._time_out(prompt_id, server)
            time.sleep(pause)
            pause = min(2 * pause, LAST_POLL_SECONDS)

    def _death(self, server: Server, error: httpx.HTTPError) -> ServerDied:
        # A connection breaks a moment before its process has ended.
        deadline = time.monotonic() + DEATH_SECONDS
        while (status := server.exit_status()) is None and time.monotonic() < deadline:
            time.sleep(FIRST_POLL_SECONDS)
        if status is None:
            return ServerDied(f"the server did not answer ({type(error).__name__})")
        tail = shortened(server.log_tail()[-300:])
        return ServerDied(f"the server died (exit {status}); its log ended: {tail}")

    def _time_out(self, prompt_id: str, server: Server) -> None:
        """End a job that takes too long; kills the server if /interrupt does not help.

        Raises:
            JobFailed: always.
        """
        if not _ends_by_interrupt(prompt_id, server):
            self.close()
        raise JobFailed(f"expected an end within {self.options.job_timeout:g} s (--job-timeout), got none")

    # Its files

    def _collect(self, job: Job, files: list[OutputFile], server: Server) -> dict[str, str]:
        """Store the files of a job; returns name -> SHA-256.

        Names count the files of a node, for ComfyUI's own counter depends on what was drawn before.
        """
        places = [server.folder / file.kind / file.subfolder / file.name for file in files]
        if not places:
            raise JobFailed("expected files from the workflow, got none: add a node such as Save Image")
        if not all(place.is_file() for place in places):
            raise FilesGone("the server named files of an earlier job, which are gone")
        hashes: dict[str, str] = {}
        counts: dict[str, int] = {}
        for file, place in zip(files, places, strict=True):
            counts[file.node] = counts.get(file.node, 0) + 1
            name = f"{file.node.replace(':', '_')}_{counts[file.node]}{place.suffix}"
            content = place.read_bytes()
            self._store.write_picture(job.id, name, content)
            hashes[name] = hashlib.sha256(content).hexdigest()
        # An equal prompt is answered from ComfyUI's cache with the files of the job before.
        for old in set(self._last_files) - set(places):
            old.unlink(missing_ok=True)
        self._last_files = places
        return hashes


def worker_name() -> str:
    """The machine and the GPU, or the process where there is none."""
    visible = next(
        (
            os.environ[name]
            for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
            if os.environ.get(name)
        ),
        "",
    )
    machine = platform.node() or socket.gethostname()
    return f"{machine} GPU {visible}" if visible else f"{machine} process {os.getpid()}"


def _content(source: str) -> bytes:
    """A job's file.

    Raises:
        JobFailed: it cannot be read here.
    """
    try:
        with fsspec.open(source, "rb") as stream:
            return bytes(stream.read())
    except (OSError, ValueError, ImportError) as error:
        raise JobFailed(f"expected to read {source}, got {type(error).__name__}: {error}") from None


def _seed(prompt: Prompt) -> int | None:
    """The first seed of a prompt."""
    targets = seed_inputs(prompt)
    if not targets:
        return None
    node_id, name = resolve(prompt, targets[0])
    return int(prompt[node_id]["inputs"][name])


def _ends_by_interrupt(prompt_id: str, server: Server) -> bool:
    deadline = time.monotonic() + INTERRUPT_SECONDS
    try:
        server.comfy.interrupt(prompt_id)
        while server.comfy.result(prompt_id) is None:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
    except (JobFailed, TryAgain):  # how an interrupted prompt ends
        return True
    except httpx.HTTPError:
        return False
    return True


def _largest(first: dict[str, int], second: dict[str, int]) -> dict[str, int]:
    return {key: max(first.get(key, 0), second.get(key, 0)) for key in first.keys() | second.keys()}
