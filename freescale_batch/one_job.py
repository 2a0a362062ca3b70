"""One job on a running server: its prompt, the wait for its end, its files."""

import contextlib
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import httpx

from .comfy import OutputFile, shortened
from .errors import JobFailed, TryAgain
from .jobs import Job, name_of
from .server import Server
from .store import Store
from .workflow import Prompt, resolve, seed_inputs

SILENT_SECONDS = 120.0
"""A server that lives and does not answer for so long has hung."""
INTERRUPT_SECONDS = 30.0
"""What a job gets to end after /interrupt."""
DEATH_SECONDS = 3.0
FIRST_POLL_SECONDS, LAST_POLL_SECONDS = 0.02, 1.0
MEMORY_SECONDS = 2.0
"""Between two looks at the memory."""


class ServerDied(TryAgain):
    """The server ended or hung in the middle of a job."""


class FilesGone(TryAgain):
    """The server named files of an earlier job, which are no longer there."""


class ServerHung(JobFailed):
    """The job took too long and did not end by /interrupt: its server is of no use any more."""


def run_job(job: Job, workflow: Prompt, server: Server, store: Store, timeout: float) -> dict[str, Any]:
    """Run a job and store its files; returns what its record says of the run.

    timeout: seconds.

    Raises:
        JobFailed: it cannot succeed, or took too long.
        TryAgain: the server died, hung or ran out of memory.
    """
    try:
        with _inputs_at_server(job, workflow, server) as prompt:
            prompt_id = server.comfy.queue(prompt)
            files, peak = _wait(prompt_id, server, timeout)
            server.comfy.forget(prompt_id)
    except httpx.HTTPError as error:
        raise _death(server, error) from None
    hashes = _collect(job, files, server, store)
    return {
        "id": job.id,
        "seed": _seed(prompt),
        "set": job.set,
        "prompt": prompt,
        "files": hashes,
        "peak_memory": peak,
    }


@contextlib.contextmanager
def _inputs_at_server(job: Job, workflow: Prompt, server: Server) -> Iterator[Prompt]:
    """The job's prompt, while its files are in the server's input folder."""
    prompt, places = job.prompt(workflow), list[Path]()
    try:
        for target, source in job.files.items():
            content = _content(source)
            name = hashlib.sha256(content).hexdigest()[:16] + Path(name_of(source)).suffix
            places.append(server.folder / "input" / name)
            places[-1].write_bytes(content)
            node_id, input_name = resolve(prompt, target)
            prompt[node_id]["inputs"][input_name] = name
        yield prompt
    finally:
        for place in places:
            place.unlink(missing_ok=True)


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


def _wait(prompt_id: str, server: Server, timeout: float) -> tuple[list[OutputFile], dict[str, int]]:
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
                raise _death(server, error) from None
        if time.monotonic() - start > timeout:
            raise _too_long(prompt_id, server, timeout)
        time.sleep(pause)
        pause = min(2 * pause, LAST_POLL_SECONDS)


def _largest(first: dict[str, int], second: dict[str, int]) -> dict[str, int]:
    return {key: max(first.get(key, 0), second.get(key, 0)) for key in first.keys() | second.keys()}


def _death(server: Server, error: httpx.HTTPError) -> ServerDied:
    # A connection breaks a moment before its process has ended.
    deadline = time.monotonic() + DEATH_SECONDS
    while (status := server.exit_status()) is None and time.monotonic() < deadline:
        time.sleep(FIRST_POLL_SECONDS)
    if status is None:
        return ServerDied(f"the server did not answer ({type(error).__name__})")
    tail = shortened(server.log_tail()[-300:])
    return ServerDied(f"the server died (exit {status}); its log ended: {tail}")


def _too_long(prompt_id: str, server: Server, timeout: float) -> JobFailed:
    """Interrupt a job; returns how it failed."""
    kind = JobFailed if _ends_by_interrupt(prompt_id, server) else ServerHung
    return kind(f"expected an end within {timeout:g} s (--job-timeout), got none")


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


def _collect(job: Job, files: list[OutputFile], server: Server, store: Store) -> dict[str, str]:
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
        store.write_picture(job.id, name, content)
        hashes[name] = hashlib.sha256(content).hexdigest()
    # An equal prompt is answered from ComfyUI's cache with the files of the job before.
    for old in set(server.last_files) - set(places):
        old.unlink(missing_ok=True)
    server.last_files = places
    return hashes
