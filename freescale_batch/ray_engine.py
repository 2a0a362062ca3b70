"""Many workers, one a GPU, fed by Ray Data.

Ray Data restarts a worker that died and hands its row to another one. A row is a job of a few hundred bytes;
pictures never pass through Ray.
"""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import ray
import ray.data
import ray.exceptions

from .errors import BatchError
from .jobs import Job
from .outcome import Outcome
from .run import Running
from .server import KEEPER
from .worker import Worker, WorkerOptions

PACKAGE = Path(__file__).parent
OBJECT_STORE_BYTES = 200 * 2**20
NOTHING_NEW = ("ray.data", "ray._private.authentication.authentication_token_setup")
"""Loggers of Ray that tell of settings which are as they should be."""
QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
THREADS = "OMP_NUM_THREADS"
MOST_BLOCKS = 10_000
"""Ray plans each block by itself: of more jobs than this, several share a block."""


class RayWorker(Worker):
    """A worker whose server may use all threads."""

    def __call__(self, row: dict[str, str]) -> dict[str, Any]:
        with _without_rays_limit():
            return super().__call__(row)


@contextlib.contextmanager
def _without_rays_limit() -> Iterator[None]:
    """Hide OMP_NUM_THREADS, which Ray sets to 1 while a row is worked on, unless its node was given one."""
    node = psutil.Process().parent()
    if THREADS not in os.environ or node is None or THREADS in node.environ():
        yield
        return
    limit = os.environ.pop(THREADS)
    try:
        yield
    finally:
        os.environ[THREADS] = limit  # Ray removes it itself


@dataclass(frozen=True)
class RayOptions:
    """address: of a running cluster, None starts Ray on this machine and ends it afterwards.

    workers: None is one for each GPU of the cluster, with `cpu` one. gpus: share of a GPU for each worker.
    """

    address: str | None = None
    workers: int | None = None
    cpu: bool = False
    gpus: float = 1.0


@contextlib.contextmanager
def run_on_ray(jobs: Sequence[Job], options: WorkerOptions, ray_options: RayOptions) -> Iterator[Running]:
    """The engine of Ray: many workers, one a GPU.

    Raises:
        BatchError: Ray cannot be reached, has no GPU or broke off.
    """
    with _connected(ray_options):
        try:
            workers = _number_of_workers(ray_options)
            data = _dataset(jobs, options, ray_options, workers)
            # Unless they are closed first, Ray Data goes on after Ray's end: it starts a cluster of its own.
            with contextlib.closing(_outcomes(data)) as outcomes:
                yield partial(_number_of_workers, ray_options), outcomes
        except ray.exceptions.RayError as error:
            raise BatchError(
                f"Expected Ray to go on, got {type(error).__name__}: run the same command again.\n{error}"
            ) from None


def _dataset(
    jobs: Sequence[Job], options: WorkerOptions, ray_options: RayOptions, workers: int
) -> ray.data.Dataset:
    rows = [{"job": json.dumps(vars(job))} for job in jobs]
    # With min_size = max_size the run would wait for a GPU that was lost.
    pool = ray.data.ActorPoolStrategy(
        min_size=1, initial_size=workers, max_size=workers, max_tasks_in_flight_per_actor=2
    )
    data = ray.data.from_items(rows, override_num_blocks=min(len(rows), MOST_BLOCKS))
    return data.map(
        RayWorker,
        fn_constructor_args=(options,),
        compute=pool,
        num_cpus=1 if ray_options.cpu else 0,  # GPUs alone say how many
        num_gpus=None if ray_options.cpu else ray_options.gpus,
    )


def _outcomes(data: ray.data.Dataset) -> Generator[Outcome, None, None]:
    """What becomes of jobs. Nothing is prefetched, for then Ray Data holds an outcome back until the next."""
    for block in data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        yield from (Outcome(**row) for row in block.to_pylist())


def _number_of_workers(options: RayOptions) -> int:
    """How many workers there is room for in the cluster as it is now.

    Raises:
        BatchError: it has no GPU.
    """
    resources = ray.cluster_resources()
    if options.cpu:
        return max(1, min(options.workers or 1, int(resources.get("CPU", 0.0))))
    gpus = resources.get("GPU", 0.0)
    if gpus < options.gpus:
        raise BatchError(
            f"Expected a GPU for each worker, got {gpus:g} in the cluster: add --cpu to run without one."
        )
    most = int(gpus / options.gpus)
    return min(options.workers or most, most)


@contextlib.contextmanager
def _connected(options: RayOptions) -> Iterator[None]:
    for name in NOTHING_NEW:
        logging.getLogger(name).setLevel(logging.ERROR)
    on_terminate = signal.getsignal(signal.SIGTERM)
    try:
        keeper = None if options.address else _start(options)
        if options.address:
            _join(options.address)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise BatchError(
            f"Expected Ray at {options.address or 'this machine'}, got {type(error).__name__}: {error}"
        ) from None
    signal.signal(signal.SIGTERM, on_terminate)  # Ray has set its own, which ends the process with status 1
    context = ray.data.DataContext.get_current()
    context.execution_no_progress_timeout_s = -1  # one 8k picture may take longer than the 30 minutes preset
    context.max_errored_blocks = 0
    context.print_on_execution_start = False
    context.enable_progress_bars = False
    try:
        yield
    finally:
        ray.shutdown()
        if keeper is not None:
            assert keeper.stdin is not None
            keeper.stdin.close()
            keeper.wait()


def _join(address: str) -> None:
    # The nodes have no copy of this package: Ray brings it there.
    ray.init(address=address, runtime_env={"py_modules": [str(PACKAGE)]}, **QUIET)


def _start(options: RayOptions) -> "subprocess.Popen[bytes]":
    """Start Ray on this machine; returns the keeper that ends what a killed driver leaves behind."""
    ray.init(
        address="local",  # else Ray joins whatever cluster ran here last
        num_cpus=max(os.cpu_count() or 1, options.workers or 1),
        object_store_memory=OBJECT_STORE_BYTES,
        **QUIET,
    )
    session = ray._private.worker._global_node.get_session_dir_path()
    words = [sys.executable, str(KEEPER), "session", session]
    return subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True)
