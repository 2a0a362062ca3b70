"""Runs one job after another on a ComfyUI server of its own. Knows nothing of Ray.

A job is tried twice if its server dies, hangs or runs out of memory. The tries are counted in the store
before they begin, so a job that kills its server, its worker or its machine fails alone.
"""

import contextlib
import json
import os
import platform
import socket
import time
import traceback
from dataclasses import dataclass
from typing import Any

import httpx

from .comfy import OutOfMemory
from .errors import JobFailed, ServerError, TryAgain
from .jobs import Job
from .one_job import FilesGone, ServerDied, ServerHung, run_job
from .outcome import Outcome
from .server import Server, ServerOptions, start_server
from .store import Store
from .workflow import Prompt, workflow_fingerprint

MAX_ATTEMPTS = 2
ENDING_SECONDS = 3.0
"""A worker that is being ended may lose its server first: it counts no attempt that it cannot make."""


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
        self._gave_back = False

    def __call__(self, row: dict[str, str]) -> dict[str, Any]:
        """Run a job; never raises, whatever the job does."""
        job = Job(**json.loads(row["job"]))
        try:
            outcome = self._settle(job)
            self._gave_back = False
        except Exception as error:  # The store's errors and our own: the job is not at fault.
            outcome = self._give_back(job, error)
        return outcome.row()

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
        # This process lives, so it was no job that kills.
        with contextlib.suppress(Exception):  # Each kind of store has errors of its own.
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
                if isinstance(failure, ServerHung):
                    self.close()
                return self._fail(job, str(failure), count)
            except TryAgain as failure:
                error = str(failure)
                self._store.note_attempt(job.id, count, error)
                self._recover(failure)
            else:
                seconds = time.monotonic() - start
                self._store.finish(job.id, record | {"seconds": round(seconds, 3), "attempts": count})
                server.jobs_done += 1
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
        if isinstance(failure, ServerDied):
            time.sleep(ENDING_SECONDS)

    def _ready_server(self) -> Server:
        if self._server is not None and self._is_used_up(self._server):
            self.close()
        if self._server is None:
            self._server = start_server(self.options.server)
        return self._server

    def _is_used_up(self, server: Server) -> bool:
        recycle = self.options.recycle
        return server.exit_status() is not None or bool(recycle) and server.jobs_done >= recycle

    def _run(self, job: Job, server: Server) -> dict[str, Any]:
        """Run a job, store its files; returns its record."""
        options = self.options
        record = run_job(job, options.workflow, server, self._store, options.job_timeout)
        versions = dict(options.versions) | server.versions
        return record | {"versions": versions, "workflow": self._mark, "worker": self.name}


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
