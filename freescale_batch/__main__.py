"""The command line: python -m freescale_batch --help."""

import argparse
import signal
import sys
import traceback
from functools import partial
from pathlib import Path

from .errors import BatchError
from .jobs import Job, checked_jobs, parse_seeds, product_lines, read_jobs, read_prompts
from .run import Engine, pack_version, run_here, run_jobs
from .server import ServerOptions
from .store import Store
from .worker import WorkerOptions
from .workflow import Prompt, load_workflow

ALL_DONE, SOME_FAILED, ABORTED = 0, 1, 2
PRODUCT = "jobs.jsonl"
"""Where the lines of --prompts and --seeds are kept, in the output folder."""
EPILOG = """\
Words after -- go to ComfyUI's main.py, as in: -- --base-directory /data --fp8_e4m3fn-unet

exit status: 0 all jobs are done, 1 some failed, 2 the command ended before its jobs did: wrong input, no
server, or Ctrl-C. The same command again goes on where it ended.
"""


def main(words: list[str]) -> int:
    options, arguments = parse(words)
    # A scheduler ends a program with SIGTERM: it shall end as with Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        workflow = load_workflow(options.workflow)
        _check_options(options)
        jobs = _jobs(options, workflow)
        worker = _worker_options(options, arguments, workflow)
        engine = _engine(options)
        all_done = run_jobs(jobs, worker, engine, retry_failed=options.retry_failed, force=options.force)
    except BatchError as error:
        print(error, file=sys.stderr)
        return ABORTED
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from here", file=sys.stderr)
        return ABORTED
    except Exception:  # Python would end with 1, which means that all other jobs are done.
        traceback.print_exc()
        return ABORTED
    return ALL_DONE if all_done else SOME_FAILED


def parse(words: list[str]) -> tuple[argparse.Namespace, tuple[str, ...]]:
    """The options, and the words for ComfyUI."""
    cut = words.index("--") if "--" in words else len(words)
    return _parser().parse_args(words[:cut]), tuple(words[cut + 1 :])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m freescale_batch",
        description="Runs an API-format workflow for many jobs, on a ComfyUI server for each GPU.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    what = parser.add_argument_group("what to run")
    what.add_argument(
        "jobs", nargs="?", type=Path, help='a job a line: {"id": "a", "set": {"6.text": "..."}}'
    )
    what.add_argument("--prompts", type=Path, metavar="FILE", help="in place of jobs: a prompt a line")
    what.add_argument("--seeds", metavar="1-100", help="with --prompts: each prompt with each of these seeds")
    what.add_argument("--prompt-input", metavar="NODE.INPUT", help="where prompts go (default: found)")
    what.add_argument("--seed-input", metavar="NODE.INPUT", help="where seeds go (default: all seeds)")
    what.add_argument("--workflow", type=Path, required=True, help="made by File > Export (API)")
    where = parser.add_argument_group("where to run")
    where.add_argument("--out", required=True, help="folder or URL (s3://, gs://) for the results")
    where.add_argument("--comfyui", required=True, metavar="PATH", help="ComfyUI's folder, on every machine")
    where.add_argument(
        "--python", default="", metavar="FILE", help="ComfyUI's Python (default: its venv, else this one)"
    )
    where.add_argument("--engine", choices=("ray", "none"), default="ray", help="none: one worker, no Ray")
    where.add_argument("--address", help="a running Ray cluster: auto, or ray://host:port")
    where.add_argument(
        "--workers", type=_positive, metavar="N", help="default: a worker a GPU, with --cpu one"
    )
    where.add_argument("--gpus-per-worker", type=float, default=1.0, metavar="F", help="0.5: two a GPU")
    where.add_argument("--cpu", action="store_true", help="run ComfyUI without a GPU")
    how = parser.add_argument_group("how to run")
    how.add_argument(
        "--job-timeout", type=_seconds, default=14400.0, metavar="S", help="default: %(default)g"
    )
    how.add_argument(
        "--start-timeout", type=_seconds, default=600.0, metavar="S", help="default: %(default)g"
    )
    how.add_argument("--recycle", type=_positive, default=0, metavar="N", help="a new server after N jobs")
    how.add_argument("--retry-failed", action="store_true", help="try the failed jobs once more")
    how.add_argument("--force", action="store_true", help="make jobs anew that changed under their ids")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"expected seconds above 0, got {text}")
    return seconds


def _check_options(options: argparse.Namespace) -> None:
    if (options.jobs is None) == (options.prompts is None):
        got = "neither" if options.jobs is None else "both"
        raise BatchError(f"Expected either a jobs file or --prompts, got {got}: give one of them.")
    if (options.prompts is None) != (options.seeds is None):
        raise BatchError("Expected --prompts and --seeds together, got one of them: add the other.")
    if not options.gpus_per_worker > 0:
        raise BatchError(
            f"Expected --gpus-per-worker above 0, got {options.gpus_per_worker:g}: take 0.5 or 1."
        )
    if options.engine == "none" and (options.address or (options.workers or 1) > 1):
        raise BatchError("Expected one worker for --engine none, got --address or --workers: leave them out.")
    # Other machines may have it elsewhere than this one.
    if not options.address and not (Path(options.comfyui) / "main.py").is_file():
        raise BatchError(f"Expected ComfyUI's main.py in {options.comfyui}, found none: correct --comfyui.")


def _jobs(options: argparse.Namespace, workflow: Prompt) -> list[Job]:
    if options.jobs is not None:
        return read_jobs(options.jobs, workflow)
    prompts, seeds = read_prompts(options.prompts), parse_seeds(options.seeds)
    lines = list(product_lines(prompts, seeds, workflow, options.prompt_input, options.seed_input))
    jobs = checked_jobs(enumerate(lines, 1), workflow, "--prompts", Path())
    Store(options.out).write(PRODUCT, "".join(f"{line}\n" for line in lines).encode())
    return jobs


def _worker_options(
    options: argparse.Namespace, arguments: tuple[str, ...], workflow: Prompt
) -> WorkerOptions:
    needs = {node["class_type"] for node in workflow.values()}
    comfyui = options.comfyui if options.address else str(Path(options.comfyui).resolve())
    server = ServerOptions(
        comfyui=comfyui,
        python=options.python,
        cpu=options.cpu,
        arguments=arguments,
        needs=tuple(sorted(needs)),
        start_seconds=options.start_timeout,
    )
    return WorkerOptions(
        workflow=workflow,
        out=Store(options.out).url,
        server=server,
        job_timeout=options.job_timeout,
        recycle=options.recycle,
        versions=(("freescale", pack_version()),),
    )


def _engine(options: argparse.Namespace) -> Engine:
    if options.engine == "none":
        return run_here
    try:
        from .ray_engine import RayOptions, run_on_ray
    except ImportError as error:
        raise BatchError(
            f"Expected Ray's packages, got none ({error}): pip install -r requirements-batch.txt, or take "
            "--engine none."
        ) from None
    ray_options = RayOptions(options.address, options.workers, options.cpu, options.gpus_per_worker)
    return partial(run_on_ray, ray_options=ray_options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
