"""Makes docs/images/alpha_strip.jpg: one base picture of the demo model and what FreeScale makes of it with
four values of alpha.

After `python3 dev.py demo`, from the repository's root:  .dev/0.30.0/venv/bin/python -m
tools.pictures.alpha_strip
"""

import argparse
import sys
from pathlib import Path

from PIL import Image

from tools import ROOT
from tools.demo.contact_sheet import save_contact_sheet
from tools.demo.template_run import default_server, pictures_of, template_prompt
from tools.harness import workflow
from tools.harness.comfy_client import ComfyClient
from tools.harness.demo_prompts import BASE_SIDE, only

ALPHAS = (0.5, 1.0, 2.0, 3.0)
PANEL = 360
STRIP = ROOT / "docs" / "images" / "alpha_strip.jpg"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="tools.pictures.alpha_strip",
        description="One picture row: the base, then FreeScale with growing alpha.",
    )
    parser.add_argument("--prompt", default="castle on a blue background", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=42, help="default: %(default)s")
    parser.add_argument(
        "--factor", type=float, default=2.0, help="final size over base size (default: %(default)s)"
    )
    parser.add_argument("--output", type=Path, default=STRIP, help="default: docs/images/alpha_strip.jpg")
    options = parser.parse_args()
    with default_server() as client:
        runs = [stages_with(client, alpha, options) for alpha in ALPHAS]
    base, last = runs[0][0], [stages[-1] for stages in runs]
    titles = [f"base, {BASE_SIDE} px", *(f"alpha {alpha:g}" for alpha in ALPHAS)]
    footer = (
        f"same prompt and seed: {options.prompt!r}, {options.seed}. "
        f"Demo model; FreeScale at {last[0].width} px."
    )
    save_contact_sheet(options.output, titles, [[base, *last]], footer, PANEL)
    print(f"{options.output}: {options.output.stat().st_size} bytes")
    return 0


def stages_with(client: ComfyClient, alpha: float, options: argparse.Namespace) -> list[Image.Image]:
    """Base and later stages of the template for 4k.

    The base is the same for every alpha, so the server makes it once.
    """
    prompt = template_prompt(client, workflow.load(), text=options.prompt, seed=options.seed)
    prompt[only(prompt, "FreeScaleModelPatch")]["inputs"]["alpha"] = alpha
    prompt[only(prompt, "FreeScaleCascade")]["inputs"]["factor"] = options.factor
    return pictures_of(client, prompt, by=["SaveImage"])[0]


if __name__ == "__main__":
    sys.exit(main())
