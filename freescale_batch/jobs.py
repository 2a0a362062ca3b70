"""Jobs: a line of JSON each, checked against the workflow before anything starts."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .errors import BatchError
from .workflow import (
    Prompt,
    fingerprint,
    prompt_inputs,
    resolve,
    seed_inputs,
    with_inputs,
    workflow_fingerprint,
)

ID = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9_-])?")
"""An id is a folder's name on every system and in every object store."""
KEYS = ("id", "set", "files", "note")
KINDS: dict[str, tuple[type, ...]] = {"true or false": (bool,), "a number": (int, float), "a text": (str,)}
"""Kinds of values, by the workflow's own: the first that fits, for Python's True is a whole number, too."""
MAX_PROBLEMS = 10
SHOWN_PROMPT = 40
"""Characters of a prompt that go into an id."""


@dataclass(frozen=True)
class Job:
    """One run of the workflow.

    set: "NODE.INPUT" -> value. files: "NODE.INPUT" -> path or URL of a file that the node loads.
    mark: the fingerprint of workflow, set and names of files, by which a changed job is told from the same.
    """

    id: str
    set: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    mark: str = ""

    def prompt(self, workflow: Prompt) -> Prompt:
        """The workflow with this job's values; inputs of `files` keep the workflow's."""
        return with_inputs(workflow, self.set)

    def line(self) -> dict[str, Any]:
        """The job as a jobs file writes it."""
        return {key: value for key, value in asdict(self).items() if key != "mark" and value}


def read_jobs(file: Path, workflow: Prompt) -> list[Job]:
    """Read and check all lines of a jobs file.

    Relative paths of files are taken from the jobs file's folder.

    Raises:
        BatchError: with the first ten lines that are wrong.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BatchError(f"Expected job lines in {file}, got {error.strerror}: give a jobs file.") from None
    except UnicodeDecodeError:
        raise BatchError(f"Expected UTF-8 in {file}, got another encoding: save it as UTF-8.") from None
    lines = ((number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip())
    return checked_jobs(lines, workflow, str(file), file.parent)


def checked_jobs(lines: Iterable[tuple[int, str]], workflow: Prompt, name: str, folder: Path) -> list[Job]:
    """Check (line number, JSON) pairs; `name` is what errors call them. See read_jobs."""
    base = workflow_fingerprint(workflow)
    jobs: list[Job] = []
    problems: list[str] = []
    numbers: dict[str, int] = {}
    for number, line in lines:
        try:
            job = _job(line, workflow, base, folder)
            # Some systems take names that differ in case only for the same.
            if (first := numbers.setdefault(job.id.casefold(), number)) != number:
                raise ValueError(f"expected an id of its own, got {job.id!r}, which line {first} has too")
        except ValueError as error:
            problems.append(f"{name}:{number}: {error}.")
            continue
        jobs.append(job)
    if problems:
        rest = len(problems) - MAX_PROBLEMS
        more = [f"... and {rest} more lines."] if rest > 0 else []
        raise BatchError(
            "\n".join([*problems[:MAX_PROBLEMS], *more, "Correct these lines; nothing was run."])
        )
    if not jobs:
        raise BatchError(f"Expected at least one job in {name}, got none: write a line for each.")
    return jobs


def _job(line: str, workflow: Prompt, base: str, folder: Path) -> Job:
    data = _object(line)
    values = _mapping(data, "set")
    names = _mapping(data, "files")
    for target, value in values.items():
        node_id, name = resolve(workflow, target)
        _check_value(target, value, workflow[node_id]["inputs"][name])
    for target, value in names.items():
        resolve(workflow, target)
        if not isinstance(value, str) or not value:
            raise ValueError(f"expected a path or a URL for {target}, got {value!r}")
    _check_once(workflow, [*values, *names])
    files = {target: _place(value, folder) for target, value in names.items()}
    job_id = data.get("id", fingerprint(base, values, names))
    if not isinstance(job_id, str) or not ID.fullmatch(job_id):
        raise ValueError(f"expected an id of 1 to 128 letters, digits, '.', '_' or '-', got {job_id!r}")
    ends = {target: name_of(value) for target, value in names.items()}
    return Job(job_id, values, files, fingerprint(base, values, ends))


def name_of(place: str) -> str:
    """The name of the file at a path or a URL; of a URL without its query, in which signatures change."""
    return (urlsplit(place).path if "://" in place else place).rsplit("/", 1)[-1]


def _object(line: str) -> dict[str, Any]:
    try:
        data = json.loads(line, parse_constant=_refuse_constant)
    except ValueError as error:
        raise ValueError(f"expected JSON, got an error ({error})") from None
    if not isinstance(data, dict):
        raise ValueError(f'expected an object such as {{"set": {{}}}}, got {line.strip()[:60]}')
    if unknown := [key for key in data if key not in KEYS]:
        raise ValueError(f"expected {', '.join(KEYS)}, got {unknown[0]!r}")
    return data


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON")


def _mapping(data: dict[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key, {})
    if not isinstance(value, dict):
        raise ValueError(f'expected an object for "{key}", as {{"6.text": "..."}}, got {value!r}')
    return value


def _check_value(target: str, value: object, present: object) -> None:
    """A value must be of the kind that the workflow has there."""
    for kind, types in KINDS.items():
        if isinstance(present, types):
            if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
                raise ValueError(f"expected {kind} for {target}, as in the workflow, got {value!r}")
            return


def _check_once(workflow: Prompt, targets: list[str]) -> None:
    seen: dict[tuple[str, str], str] = {}
    for target in targets:
        place = resolve(workflow, target)
        if place in seen:
            raise ValueError(f"expected each input once, got {seen[place]!r} and {target!r}")
        seen[place] = target


def _place(value: str, folder: Path) -> str:
    """The absolute path of a local file; a URL stays as it is."""
    return value if "://" in value else str((folder / value).resolve())


def product_lines(
    prompts: list[str],
    seeds: Iterable[int],
    workflow: Prompt,
    prompt_input: str | None = None,
    seed_input: str | None = None,
) -> Iterator[str]:
    """Lines for every prompt with every seed; the seed runs fastest.

    prompt_input, seed_input: "NODE.INPUT"; None takes the workflow's only positive prompt and all its seeds.

    Raises:
        BatchError: the workflow has no such inputs, or several positive prompts.
    """
    text = _text_input(workflow, prompt_input)
    seed_targets = [seed_input] if seed_input else seed_inputs(workflow)
    if not seed_targets:
        raise BatchError("Expected a seed in the workflow, got none: name the input with --seed-input.")
    for target in (text, *seed_targets):
        try:
            resolve(workflow, target)
        except ValueError as error:
            raise BatchError(f"{error}: choose another --prompt-input or --seed-input.") from None
    values = list(seeds)
    for prompt in prompts:
        for seed in values:
            changes = {text: prompt} | {target: seed for target in seed_targets}
            yield json.dumps({"id": _readable_id(prompt, seed, changes), "set": changes}, ensure_ascii=False)


def _text_input(workflow: Prompt, given: str | None) -> str:
    if given:
        return given
    found = prompt_inputs(workflow)
    if len(found) != 1:
        got = f"{len(found)} ({', '.join(found)})" if found else "none"
        raise BatchError(
            f"Expected one positive prompt in the workflow, got {got}: name its input with --prompt-input."
        )
    return found[0]


def _readable_id(prompt: str, seed: int, changes: dict[str, Any]) -> str:
    """The same for the same prompt and seed, wherever they stand in their files."""
    words = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:SHOWN_PROMPT].strip("-") or "prompt"
    text = json.dumps(changes, sort_keys=True)
    return f"{words}-{seed}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def read_prompts(file: Path) -> list[str]:
    """The lines of a file that are not empty, each once."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BatchError(f"Expected prompts in {file}, got {error}: give a text file in UTF-8.") from None
    prompts = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not prompts:
        raise BatchError(f"Expected a prompt a line in {file}, got none: write one.")
    return prompts


def parse_seeds(text: str) -> list[int]:
    """Seeds of "1-100,200": ranges and single numbers, each once, in their order."""
    seeds: dict[int, None] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        if not match or int(match[2] or match[1]) < int(match[1]):
            raise BatchError(f"Expected seeds such as 1-100 or 1,5,7, got {text!r}: correct --seeds.")
        seeds.update(dict.fromkeys(range(int(match[1]), int(match[2] or match[1]) + 1)))
    return list(seeds)
