"""Runs the text-to-image template on the demo model in a real headless ComfyUI: python3 dev.py demo
--help."""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from PIL import Image

from tools import ROOT
from tools.demo.contact_sheet import save_contact_sheet
from tools.harness import workflow  # noqa: E402 (the repository's root is on the path only now)
from tools.harness.comfy_client import ComfyClient, Message, Prompt, Run
from tools.harness.comfy_server import ComfyServer
from tools.harness.demo_prompts import for_demo_model, only

STEPS = 20
TARGET = 1024
STAGE_NAMES = ("base_256", "stage_1_512", "stage_2_1024")


def main() -> int:
    options = parse_arguments()
    options.output.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        with timed("ComfyUI starts"):
            client = stack.enter_context(ComfyServer.from_environment())
        make_pictures(client, options)
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dev.py demo",
        description="Pictures with the demo model; tools/demo/README.md lists what it can draw.",
    )
    parser.add_argument("--prompt", default="house on a pink background", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=42, help="default: %(default)s")
    parser.add_argument(
        "--output",
        type=Path,
        default=ROOT / "tools" / "demo" / "output",
        help="folder of the pictures (default: tools/demo/output)",
    )
    return parser.parse_args()


def make_pictures(client: ComfyClient, options: argparse.Namespace) -> None:
    template = workflow.load()
    prompt = for_demo_model(
        workflow.api_prompt(template, client.get("/object_info")),
        steps=STEPS,
        text=options.prompt,
        seed=options.seed,
    )
    print(f"  prompt: {options.prompt!r}, seed {options.seed}, {STEPS} steps, on the CPU", flush=True)
    with timed("base at 256 px, then FreeScale at 512 and 1024 px"):
        cascade = finished(client.run(prompt, template, progress_lines(prompt)))
    direct_prompt = direct_sampling(prompt)
    with timed("direct sampling at 1024 px, for comparison"):
        direct = finished(client.run(direct_prompt, None, progress_lines(direct_prompt)))
    print_node_seconds(cascade, prompt)

    pictures = dict(zip(STAGE_NAMES, fetch(client, cascade, only(prompt, "SaveImage")), strict=True))
    pictures["direct_1024"] = fetch(client, direct, only(direct_prompt, "PreviewImage"))[0]
    save(pictures, options)


def direct_sampling(prompt: Prompt) -> Prompt:
    """The base picture's own nodes, but with an empty latent of the target size."""
    kept = {
        node_id: node
        for node_id, node in prompt.items()
        if node["class_type"] not in ("FreeScaleModelPatch", "FreeScaleCascade", "SaveImage")
    }
    patch, sampler, empty = (
        only(prompt, name) for name in ("FreeScaleModelPatch", "KSampler", "EmptyLatentImage")
    )
    unpatched = kept[sampler]["inputs"] | {"model": prompt[patch]["inputs"]["model"]}
    size = kept[empty]["inputs"] | {"width": TARGET, "height": TARGET}
    return kept | {sampler: kept[sampler] | {"inputs": unpatched}, empty: kept[empty] | {"inputs": size}}


def finished(run: Run) -> Run:
    if run.outcome != "success":
        raise RuntimeError(f"Expected a finished run, got {run.outcome}: {run.error}")
    return run


def fetch(client: ComfyClient, run: Run, node: str) -> list[Image.Image]:
    return [client.picture(file) for file in run.files(node)]


def save(pictures: dict[str, Image.Image], options: argparse.Namespace) -> None:
    for name, picture in pictures.items():
        picture.save(options.output / f"{name}.png")
    panels = [
        ("base, 256 px", pictures["base_256"]),
        ("direct sampling at 1024 px", pictures["direct_1024"]),
        ("FreeScale at 1024 px", pictures["stage_2_1024"]),
    ]
    sheet = options.output / "sheet.jpg"
    save_contact_sheet(
        sheet,
        panels,
        f"same prompt and seed: {options.prompt!r}, {options.seed}. Demo model, trained at 256 px.",
    )
    print(f"\n  {len(pictures)} pictures and the comparison sheet are in {options.output}\n  look at {sheet}")


def progress_lines(prompt: Prompt) -> Callable[[str, dict[str, Any]], None]:
    """Rewrites one line of the terminal with the steps of the node that works; says nothing where there is no
    terminal."""

    def on_message(kind: str, data: dict[str, Any]) -> None:
        if kind == "progress" and sys.stdout.isatty():
            title = prompt[data["node"]]["_meta"]["title"]
            print(f"\r    {title}: step {data['value']} of {data['max']}\033[K", end="\r", flush=True)

    return on_message


def print_node_seconds(run: Run, prompt: Prompt) -> None:
    """One line per node that took a noticeable time, the cascade's sampling stage by stage below it."""
    for node_id, seconds in run.node_seconds().items():
        if seconds >= 0.1:
            print(f"    {seconds:6.1f} s  {prompt[node_id]['_meta']['title']}")
        if prompt[node_id]["class_type"] == "FreeScaleCascade":
            for name, stage_seconds in zip(STAGE_NAMES[1:], stage_seconds_of(run, node_id), strict=True):
                print(f"      {stage_seconds:6.1f} s  {name}, with the VAE work before it")


def stage_seconds_of(run: Run, cascade: str) -> list[float]:
    """Seconds of each stage of a cascade that began with a finished base: its stages have equally many
    steps."""
    reports = [
        (message.data["value"] / message.data["max"], message.seconds)
        for message in run.messages
        if is_progress(message, cascade)
    ]
    begin = next(
        message.seconds
        for message in run.messages
        if message.kind == "executing" and message.data["node"] == cascade
    )
    stages = len(STAGE_NAMES) - 1
    ends = [
        begin,
        *(
            next(seconds for done, seconds in reports if done >= stage / stages)
            for stage in range(1, stages + 1)
        ),
    ]
    return [end - start for start, end in pairwise(ends)]


def is_progress(message: Message, node: str) -> bool:
    return message.kind == "progress" and message.data["node"] == node


@contextmanager
def timed(what: str) -> Iterator[None]:
    print(f"  {what} ...", flush=True)
    start = time.monotonic()
    yield
    print(
        f"  {what}: {time.monotonic() - start:.1f} s\033[K"
        if sys.stdout.isatty()
        else f"  {what}: {time.monotonic() - start:.1f} s",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
