"""The output folder: pictures and records of jobs, on a disk or in an object store.

OUT/ab/ID/...             pictures, then result.json, which means done, or failed.json
OUT/_attempts/ID          how often a job was begun that has neither
OUT/_jobs.json            id -> mark of every job that was ever fed
OUT/results.parquet, OUT/failed.jsonl
"""

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from .errors import BatchError

RESULT, FAILED = "result.json", "failed.json"
ATTEMPTS, MARKS = "_attempts", "_jobs.json"
READ_AT_ONCE = 500
"""Records that are held in memory while they are read."""


class Store:
    """url: a folder, or a URL that fsspec knows (s3://, gs://, memory://)."""

    def __init__(self, url: str) -> None:
        self.url = url if "://" in url else str(Path(url).absolute())

    def __getstate__(self) -> dict[str, str]:
        return {"url": self.url}  # every process opens the store by itself

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        try:
            files, root = fsspec.core.url_to_fs(self.url, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise BatchError(f"Expected --out that fsspec can open, got {self.url}: {error}.") from None
        return files, root.rstrip("/")

    @property
    def _files(self) -> Any:
        return self._opened[0]

    def _path(self, name: str) -> str:
        return f"{self._opened[1]}/{name}"

    # Whole files

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all."""
        path = self._path(name)
        if not isinstance(self._files, LocalFileSystem):
            self._files.pipe_file(path, content)
            return
        place = Path(path)
        # Two workers may write the same file: the one that Ray gave up for lost, and the next one.
        part = place.with_name(f"{place.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.part")
        try:
            part.write_bytes(content)
        except FileNotFoundError:
            place.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(content)
        os.replace(part, place)

    def read(self, name: str) -> bytes | None:
        """The content of a file, None without one."""
        try:
            return bytes(self._files.cat_file(self._path(name)))
        except FileNotFoundError:
            return None

    def remove(self, name: str) -> None:
        """Remove a file or a folder, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self._files.rm(self._path(name), recursive=True)

    def _write_json(self, name: str, data: object) -> None:
        self.write(name, json.dumps(data, ensure_ascii=False, indent=1).encode())

    def _read_json(self, name: str) -> Any:
        content = self.read(name)
        return None if content is None else json.loads(content)

    # Jobs

    def is_done(self, job_id: str) -> bool:
        return bool(self._files.exists(self._path(f"{folder_of(job_id)}/{RESULT}")))

    def failure(self, job_id: str) -> str | None:
        """Why a job failed, None if it did not."""
        record = self._read_json(f"{folder_of(job_id)}/{FAILED}")
        return None if record is None else str(record["error"])

    def write_picture(self, job_id: str, name: str, content: bytes) -> str:
        """Store one of a job's files; returns its name relative to the output folder."""
        path = f"{folder_of(job_id)}/{name}"
        self.write(path, content)
        return path

    def finish(self, job_id: str, record: dict[str, Any]) -> None:
        """Mark a job as done; its pictures must have been written."""
        self._write_json(f"{folder_of(job_id)}/{RESULT}", record)
        self.forget_attempts(job_id)

    def fail(self, job_id: str, record: dict[str, Any]) -> None:
        """Mark a job as failed."""
        self._write_json(f"{folder_of(job_id)}/{FAILED}", record)
        self.forget_attempts(job_id)

    def drop(self, job_id: str) -> None:
        """Make a job as if it had never run."""
        self.remove(folder_of(job_id))
        self.forget_attempts(job_id)

    def finished(self) -> tuple[set[str], set[str]]:
        """Ids of the jobs that are done and of those that failed, by one listing."""
        names = {RESULT: set[str](), FAILED: set[str]()}
        for path in self._listing():
            *_, job_id, name = path.split("/")
            if name in names and path.endswith(f"/{folder_of(job_id)}/{name}"):
                names[name].add(job_id)
        return names[RESULT], names[FAILED] - names[RESULT]

    def _listing(self) -> list[str]:
        try:
            return [str(path) for path in self._files.find(self._opened[1])]
        except FileNotFoundError:
            return []

    def records(self, job_ids: Iterable[str], name: str) -> Iterator[dict[str, Any]]:
        """The records RESULT or FAILED of jobs, a few hundred at a time in memory."""
        ids = list(job_ids)
        for start in range(0, len(ids), READ_AT_ONCE):
            some = ids[start : start + READ_AT_ONCE]
            paths = [self._path(f"{folder_of(job_id)}/{name}") for job_id in some]
            if isinstance(self._files, LocalFileSystem):
                yield from (json.loads(self._files.cat_file(path)) for path in paths)
                continue
            # Many requests at a time, answered in any order.
            contents = {path.split("/")[-2]: content for path, content in self._files.cat(paths).items()}
            yield from (json.loads(contents[job_id]) for job_id in some)

    # Attempts

    def attempts(self, job_id: str) -> tuple[int, str]:
        """How often a job was begun since it last had a record, and what ended the last attempt."""
        data = self._read_json(f"{ATTEMPTS}/{job_id}")
        return (int(data["count"]), str(data["error"])) if data else (0, "")

    def note_attempt(self, job_id: str, count: int, error: str) -> None:
        """Remember an attempt before it begins, so that not even a power cut makes it undone."""
        self._write_json(f"{ATTEMPTS}/{job_id}", {"count": count, "error": error})

    def forget_attempts(self, job_id: str) -> None:
        self.remove(f"{ATTEMPTS}/{job_id}")

    def forget_all_attempts(self) -> None:
        self.remove(ATTEMPTS)

    # What was fed

    def marks(self) -> dict[str, str]:
        """Id -> mark of every job that was ever fed."""
        return dict(self._read_json(MARKS) or {})

    def write_marks(self, marks: dict[str, str]) -> None:
        self.write(MARKS, json.dumps(marks, indent=0).encode())


def folder_of(job_id: str) -> str:
    """A job's folder; 256 folders above keep each of them short."""
    return f"{hashlib.sha256(job_id.encode()).hexdigest()[:2]}/{job_id}"
