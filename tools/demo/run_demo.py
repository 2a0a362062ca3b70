"""Runs the text-to-image template on the demo model in a real headless ComfyUI: python3 dev.py demo
--help."""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from tools import ROOT
from tools.demo.contact_sheet import save_contact_sheet
from tools.demo.template_run import STEPS, pictures_of, template_prompt
from tools.harness import workflow
from tools.harness.comfy_client import ComfyClient, Prompt
from tools.harness.comfy_server import ComfyServer
from tools.harness.demo_prompts import only

TARGET = 1024
STAGE_NAMES = ("base_256", "stage_1_512", "stage_2_1024")


def main() -> int:
    options = parse_arguments()
    options.output.mkdir(parents=True, exist_ok=True)
    print("  ComfyUI starts ...", flush=True)
    with ComfyServer.from_environment() as client:
        make_pictures(client, options)
    return 0


def parse_arguments() -> argparse.Namespace:
    output = ROOT / "tools" / "demo" / "output"
    parser = argparse.ArgumentParser(
        prog="dev.py demo",
        description="Pictures with the demo model; tools/demo/README.md lists what it can draw.",
    )
    parser.add_argument("--prompt", default="house on a pink background", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=42, help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=output, help="folder (default: tools/demo/output)")
    return parser.parse_args()


def make_pictures(client: ComfyClient, options: argparse.Namespace) -> None:
    graph = workflow.load()
    prompt = template_prompt(client, graph, text=options.prompt, seed=options.seed)
    print(f"  prompt: {options.prompt!r}, seed {options.seed}, {STEPS} steps, on the CPU", flush=True)
    stages = timed("base at 256 px, then FreeScale at 512 and 1024 px", client, prompt, "SaveImage", graph)
    (direct,) = timed(
        "direct sampling at 1024 px, for comparison", client, direct_sampling(prompt), "PreviewImage"
    )
    pictures = dict(zip(STAGE_NAMES, stages, strict=True)) | {"direct_1024": direct}
    for name, picture in pictures.items():
        picture.save(options.output / f"{name}.png")
    shown = {
        "base, 256 px": stages[0],
        "direct sampling at 1024 px": direct,
        "FreeScale at 1024 px": stages[-1],
    }
    sheet = options.output / "sheet.jpg"
    footer = f"same prompt and seed: {options.prompt!r}, {options.seed}. Demo model, trained at 256 px."
    save_contact_sheet(sheet, list(shown), [list(shown.values())], footer)
    print(f"\n  {len(pictures)} pictures and the comparison sheet are in {options.output}\n  look at {sheet}")


def timed(
    what: str, client: ComfyClient, prompt: Prompt, by: str, graph: workflow.Workflow | None = None
) -> list[Image.Image]:
    """The pictures that nodes of type `by` make; prints how long it took, and each node that took long."""
    print(f"  {what} ...", flush=True)
    start = time.monotonic()
    pictures, run = pictures_of(client, prompt, graph, progress_lines(prompt), [by])
    print(f"  {what}: {time.monotonic() - start:.1f} s" + "\033[K" * sys.stdout.isatty(), flush=True)
    for node_id, seconds in run.node_seconds().items():
        if seconds >= 0.1:
            print(f"    {seconds:6.1f} s  {prompt[node_id]['_meta']['title']}")
    return pictures


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


def progress_lines(prompt: Prompt) -> Callable[[str, dict[str, Any]], None]:
    """Rewrites one line of the terminal with the steps of the node that works; says nothing where there is no
    terminal."""

    def on_message(kind: str, data: dict[str, Any]) -> None:
        if kind == "progress" and sys.stdout.isatty():
            title = prompt[data["node"]]["_meta"]["title"]
            print(f"\r    {title}: step {data['value']} of {data['max']}\033[K", end="\r", flush=True)

    return on_message


if __name__ == "__main__":
    sys.exit(main())
