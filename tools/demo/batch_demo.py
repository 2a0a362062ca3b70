"""Six images by freescale_batch on two real ComfyUI servers, one of which is killed in the middle of a job:
python3 dev.py batch-demo --help.

Each check is a line, the last line counts them.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from tools import ROOT
from tools.dev.setup_host import set_up_batch
from tools.dev.tiers import BATCH_PYTHON
from tools.harness.batch_command import Command, kill, running, wait_until
from tools.harness.comfy_client import Prompt
from tools.harness.comfy_server import ComfyServer
from tools.harness.demo_prompts import for_demo_model, only

WORKFLOW = ROOT / "workflows" / "api" / "FreeScale 02 Text to 2k.json"
PROMPTS = ("house on a pink background", "tiger in a meadow", "red apple at night")
SEEDS = (42, 43)
ATTENTION = "--use-pytorch-cross-attention"
"""As tools.harness.comfy_server has it: another kind of attention rounds otherwise."""
END_SECONDS = 400.0
SETTLE_SECONDS = 5.0
"""A worker asks its server every second: by then the suspended one's has stored what was finished before."""


class Checks:
    """Prints and counts what holds and what does not."""

    def __init__(self) -> None:
        self.passed = self.failed = 0

    def expect(self, holds: bool, what: str) -> None:
        print(f"{'ok  ' if holds else 'FAIL'} {what}", flush=True)
        self.passed, self.failed = self.passed + holds, self.failed + (not holds)


def main() -> int:
    options = parse_arguments()
    if options.python == BATCH_PYTHON:
        set_up_batch()
    shutil.rmtree(options.output, ignore_errors=True)
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="freescale-batch-demo-") as folder:
        workflow = for_demo_model(json.loads(WORKFLOW.read_text(encoding="utf-8")), steps=options.steps)
        words = written_command(Path(folder), workflow, options.output)
        run_and_kill(Path(folder), words, options, checks)
    records = read_records(options.output)
    check_records(records, checks)
    with timed("the same six on a single server"):
        check_images(records, checks)
    print(f"  the images are in {options.output}")
    print(f"{checks.passed} passed, {checks.failed} failed")
    return 1 if checks.failed else 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev.py batch-demo", description=__doc__.splitlines()[0])
    output = ROOT / "tools" / "demo" / "output" / "batch"
    parser.add_argument("--output", type=Path, default=output, help="folder, emptied (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=8, help="of each stage (default: %(default)s)")
    parser.add_argument("--python", type=Path, default=BATCH_PYTHON, help="with requirements-batch.txt")
    return parser.parse_args()


@contextmanager
def timed(what: str) -> Iterator[None]:
    print(f"  {what} ...", flush=True)
    start = time.monotonic()
    yield
    print(f"  {what}: {time.monotonic() - start:.1f} s", flush=True)


def written_command(folder: Path, workflow: Prompt, output: Path) -> list[str]:
    """The words of the command, whose files are written into `folder`."""
    (folder / "workflow.json").write_text(json.dumps(workflow), encoding="utf-8")
    (folder / "prompts.txt").write_text("\n".join(PROMPTS), encoding="utf-8")
    server = ComfyServer.from_environment()
    return [
        *("--prompts", str(folder / "prompts.txt"), "--seeds", f"{SEEDS[0]}-{SEEDS[-1]}"),
        *("--workflow", str(folder / "workflow.json"), "--out", str(output)),
        *("--comfyui", str(server.comfyui), "--python", sys.executable, "--cpu", "--workers", "2"),
        *("--", "--base-directory", str(server.base), ATTENTION),
    ]


def run_and_kill(folder: Path, words: list[str], options: argparse.Namespace, checks: Checks) -> None:
    """Run the batch and kill a server while both of them work; then give the same command again."""
    comfyui = ComfyServer.from_environment().comfyui
    with running(Command(folder, comfyui, words, str(options.python))) as command:
        with timed("six jobs on two servers, one of them killed"):
            wait_until(lambda: len(begun(options.output)) == 2, END_SECONDS)
            kill_in_a_job(command, options.output)
            status = command.wait(END_SECONDS)
        checks.expect(status == 0, f"the command ended with status 0 (here {status})")
        ended = command.ends()
        checks.expect(ended, "it left no process behind")
        if not ended:
            command.kill_all()
    with running(Command(folder, comfyui, words, str(options.python))) as again:
        idle = again.wait(END_SECONDS) == 0 and "6 of 6 jobs were finished before" in again.log
        checks.expect(idle, "the same command again finds all six finished")


def kill_in_a_job(command: Command, output: Path) -> None:
    """Kill a server whose worker has noted an attempt."""
    server = command.servers()[0]
    server.suspend()  # else its job may end before the kill, which then costs no attempt
    time.sleep(SETTLE_SECONDS)
    wait_until(lambda: len(begun(output)) == 2, END_SECONDS)
    kill(server)


def begun(output: Path) -> list[Path]:
    """Where attempts are noted that have not ended."""
    return [file for file in (output / "_attempts").glob("*") if file.suffix != ".part"]


def read_records(output: Path) -> list[dict[str, Any]]:
    """The records of all jobs, each with the folder of its images."""
    files = sorted(output.glob("*/*/result.json"))
    return [json.loads(file.read_text(encoding="utf-8")) | {"folder": file.parent} for file in files]


def check_records(records: list[dict[str, Any]], checks: Checks) -> None:
    asked = sorted((prompt, seed) for prompt in PROMPTS for seed in SEEDS)
    made = sorted((text_of(record["prompt"]), record["seed"]) for record in records)
    checks.expect(made == asked, "each prompt with each seed has one result")
    checks.expect(len({record["worker"] for record in records}) == 2, "both servers took part")
    attempts = sorted(record["attempts"] for record in records)
    checks.expect(attempts == [1, 1, 1, 1, 1, 2], f"the kill cost one attempt (attempts here: {attempts})")


def text_of(prompt: Prompt) -> str:
    """The text that a prompt's sampler takes as the positive one."""
    (sampler,) = (node for node in prompt.values() if node["class_type"] == "KSampler")
    return str(prompt[sampler["inputs"]["positive"][0]]["inputs"]["text"])


def check_images(records: list[dict[str, Any]], checks: Checks) -> None:
    """Run each job's prompt on one server, by another client, and compare the pixels."""
    with ComfyServer.from_environment() as client:
        for record in records:
            saving = only(record["prompt"], "SaveImage")
            run = client.run(record["prompt"])
            expected = [pixels(client.picture(file)) for file in run.files(saving)]
            made = [pixels(Image.open(record["folder"] / name)) for name in record["files"]]
            checks.expect(made == expected != [], f"{record['id']}: bit-equal to a single server's")


def pixels(image: Image.Image) -> tuple[Any, ...]:
    return image.mode, image.size, image.tobytes()


if __name__ == "__main__":
    sys.exit(main())
