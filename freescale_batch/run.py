"""From checked jobs to the summary."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

from .errors import BatchError
from .jobs import Job
from .outcome import Outcome
from .progress import LiveLine
from .store import Store
from .summary import FAILED_JOBS, write_summary
from .worker import Worker, WorkerOptions

Running = tuple[Callable[[], int], Iterator[Outcome]]
Engine = Callable[[Sequence[Job], WorkerOptions], AbstractContextManager[Running]]
"""Gives a function that counts the workers there is room for now and, in any order, what becomes of jobs.

The workers end with the block.
"""
MAX_NOT_RUN = 20
"""Jobs in a row that come back from every worker for want of a server: then the command ends.

Where none has worked yet, one from each is enough.
"""
PROJECT = Path(__file__).parent.parent / "pyproject.toml"


@contextmanager
def run_here(jobs: Sequence[Job], options: WorkerOptions) -> Iterator[Running]:
    """The engine without Ray: one worker in this process, one job after another."""
    with closing(Worker(options)) as worker:
        yield lambda: 1, (Outcome(**worker({"job": json.dumps(vars(job))})) for job in jobs)


def run_jobs(
    jobs: Sequence[Job],
    options: WorkerOptions,
    engine: Engine,
    *,
    retry_failed: bool = False,
    force: bool = False,
) -> bool:
    """Run what is not finished yet and write the summary; returns whether all jobs are done.

    retry_failed: failed jobs count as not finished. force: jobs that changed under their id are made anew.

    Raises:
        BatchError: finished jobs changed under their ids, or the workers cannot work.
    """
    store = Store(options.out)
    left, failed_before = open_jobs(store, jobs, retry_failed, force)
    live = LiveLine(len(jobs), len(jobs) - len(left))
    if before := len(jobs) - len(left):
        print(f"{before} of {len(jobs)} jobs were finished before")
    failed = failed_before
    if left:
        try:
            failed += _feed(left, options, engine, live)
        finally:
            live.end()
            # Only what ends the whole process leaves attempts behind, for then nobody can say what did it.
            store.forget_all_attempts()
    done_in_all, failed_in_all = write_summary(store)
    more = f", {FAILED_JOBS} lists the failed ones" if failed_in_all else ""
    print(f"{options.out}: {done_in_all} done, {failed_in_all} failed{more}")
    return not failed


def open_jobs(store: Store, jobs: Sequence[Job], retry_failed: bool, force: bool) -> tuple[list[Job], int]:
    """The jobs that are to run now, and how many of the others failed before."""
    done, failed = store.finished()
    marks = store.marks()
    changed = {job.id for job in jobs if marks.get(job.id, job.mark) != job.mark}
    if (wrong := sorted(changed & done)) and not force:
        raise BatchError(
            f"Expected the workflow and values that made {wrong[0]}, got others ({len(wrong)} such jobs): "
            "take another --out or other ids, or add --force to make them anew."
        )
    again = changed & (done | failed) | (failed if retry_failed else set())
    for job in jobs:
        if job.id in again:
            store.drop(job.id)
    store.write_marks(marks | {job.id: job.mark for job in jobs})
    left = [job for job in jobs if job.id in again or job.id not in done | failed]
    return left, len({job.id for job in jobs} & failed - again)


def _feed(jobs: Sequence[Job], options: WorkerOptions, engine: Engine, live: LiveLine) -> int:
    """Run jobs by an engine; returns how many failed.

    Raises:
        BatchError: the workers have no servers, or some jobs were not run.
    """
    failed = not_run = 0
    in_a_row = Counter[tuple[str, int]]()
    worked = False
    last = ""
    with engine(jobs, options) as (count_workers, outcomes):
        for outcome in outcomes:
            live.add(outcome)
            failed += outcome.status == "failed"
            worker = outcome.worker, outcome.process
            if outcome.status != "not run":
                worked, in_a_row[worker] = True, 0
                continue
            not_run, last = not_run + 1, f"{outcome.worker}: {outcome.error}"
            in_a_row[worker] += 1
            limit = MAX_NOT_RUN if worked else 1
            broken = sum(count >= limit for count in in_a_row.values())
            # There are fewer workers than at the start if a machine was lost, perhaps one of the broken ones.
            if in_a_row[worker] >= limit and broken >= count_workers():
                raise BatchError(f"Expected workers that can run jobs, got none. {last}")
    if not_run:
        raise BatchError(
            f"Expected all jobs to run, got {not_run} that no worker could: run the same command again. "
            f"{last}"
        )
    return failed


def pack_version() -> str:
    """The version of FreeScale that this package belongs to, "" where it was copied without it."""
    text = PROJECT.read_text(encoding="utf-8") if PROJECT.is_file() else ""
    match = re.search(r'^version = "(.+)"$', text, re.MULTILINE)
    return match[1] if match else ""
