"""Makes workflows/*.jpg, the pictures of the template browser: runs each template on the demo model and
composes what it saved.

After `python3 dev.py demo`, from the repository's root:  .dev/0.30.0/venv/bin/python -m
tools.pictures.thumbnails [template ...]
"""

import io
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from tools.demo.template_run import default_server, pictures_of, template_prompt
from tools.harness import workflow
from tools.harness.comfy_client import ComfyClient
from tools.harness.demo_prompts import BASE_SIDE

SIDE = 512
LINE = 4
HALF = (SIDE - LINE) // 2
LANCZOS = Image.Resampling.LANCZOS
INSET_MARGIN = 16
LARGEST_INSET = 152
SEED = 42
LARGEST_FILE = 60_000
EXAMPLE = "example.png"

Compose = Callable[[Sequence[Image.Image]], Image.Image]
"""Pictures from the smallest to the largest -> one of SIDE x SIDE pixels."""


def inset(pictures: Sequence[Image.Image], count: int = 1) -> Image.Image:
    """The largest, and in a corner the `count` smallest: in true proportion, but no larger than
    LARGEST_INSET."""
    thumbnail = square(pictures[-1])
    left = INSET_MARGIN
    for picture in pictures[:count]:
        small = square(picture, min(SIDE * picture.width // pictures[-1].width, LARGEST_INSET))
        framed = ImageOps.expand(small, LINE, "white")
        thumbnail.paste(framed, (left, SIDE - INSET_MARGIN - framed.height))
        left += framed.width + INSET_MARGIN
    return thumbnail


def inset_with_map(pictures: Sequence[Image.Image]) -> Image.Image:
    """The largest, and in a corner the base picture and the map of alpha."""
    return inset(pictures, 2)


def slices(pictures: Sequence[Image.Image]) -> Image.Image:
    """One subject, sharper from left to right: a vertical slice of each picture, at its own place."""
    thumbnail = square(pictures[0])
    for i, picture in enumerate(pictures[1:], start=1):
        left = i * SIDE // len(pictures)
        thumbnail.paste(square(picture).crop((left, 0, SIDE, SIDE)), (left, 0))
        thumbnail.paste("white", (left - LINE // 2, 0, left + LINE // 2, SIDE))
    return thumbnail


def two_middles(pictures: Sequence[Image.Image]) -> Image.Image:
    """The middle of the left and of the right part of one wide picture."""
    wide = pictures[-1]
    lefts = (0, wide.width - wide.height)
    parts = [wide.crop((left, 0, left + wide.height, wide.height)) for left in lefts]
    return tiles(parts, HALF, SIDE)


def grid(pictures: Sequence[Image.Image]) -> Image.Image:
    """The last four, two in a row."""
    return tiles(pictures[-4:], HALF, HALF)


def tiles(pictures: Sequence[Image.Image], width: int, height: int) -> Image.Image:
    """Two in a row, each cropped to a size."""
    thumbnail = Image.new("RGB", (SIDE, SIDE), "white")
    for i, picture in enumerate(pictures):
        place = (i % 2 * (width + LINE), i // 2 * (height + LINE))
        thumbnail.paste(ImageOps.fit(picture.convert("RGB"), (width, height), LANCZOS), place)
    return thumbnail


def square(picture: Image.Image, side: int = SIDE) -> Image.Image:
    return ImageOps.fit(picture.convert("RGB"), (side, side), LANCZOS)


@dataclass(frozen=True)
class Recipe:
    """base_side: side in pixels of the base picture. bypassed: a type of node to do without."""

    text: str
    compose: Compose
    base_side: int = BASE_SIDE
    region_text: str | None = None
    bypassed: str = ""


RECIPES = {
    "freescale_text_to_image_2k": Recipe("owl on a teal background", inset),
    "freescale_text_to_image_4k": Recipe("house on a pink background", inset),
    "freescale_text_to_image_8k": Recipe("castle on a blue background", inset, base_side=128),
    "freescale_image_to_image": Recipe("sailboat on a orange background", slices),
    "freescale_stage_by_stage": Recipe("panda on a green background", slices),
    "freescale_few_step": Recipe("red car on a yellow background", inset),
    "freescale_compare_direct": Recipe("penguin on a orange background", two_middles),
    "freescale_ablation": Recipe("rocket on a purple background", grid),
    "freescale_detail_regions": Recipe("house in a meadow", inset_with_map),
    "freescale_prompt_regions": Recipe(
        "red apple on a white background", inset, region_text="strawberry on a white background"
    ),
    # No ControlNet was trained for the demo model.
    "freescale_controlnet_4k": Recipe(
        "house on a pink background", slices, bypassed="ControlNetApplyAdvanced"
    ),
    "freescale_flux_to_4k": Recipe("house on a pink background", slices),
}
FROM_A_PICTURE = ("freescale_image_to_image", "freescale_flux_to_4k")
"""Templates that load a picture: here one by the demo model."""


def main() -> int:
    names = sys.argv[1:] or list(RECIPES)
    server = default_server()
    with server as client:
        for name in names:
            if name in FROM_A_PICTURE:
                base, *_ = made_by(client, "freescale_text_to_image_2k", RECIPES[name])
                base.save(server.folder / "input" / EXAMPLE)
            thumbnail = RECIPES[name].compose(made_by(client, name, RECIPES[name]))
            save(thumbnail, workflow.TEMPLATES / f"{name}.jpg")
    return 0


def made_by(client: ComfyClient, name: str, recipe: Recipe) -> list[Image.Image]:
    """What a template loads, shows and saves, from the smallest to the largest; equal sizes in the order of
    its nodes."""
    graph = workflow.load(workflow.TEMPLATES / f"{name}.json")
    changes = {"text": recipe.text, "region_text": recipe.region_text, "base_side": recipe.base_side}
    prompt = template_prompt(client, graph, recipe.bypassed, seed=SEED, **changes)
    return sorted(pictures_of(client, prompt, graph)[0], key=lambda picture: picture.width)


def save(thumbnail: Image.Image, file: Path) -> None:
    """As JPEG, in the best quality whose file is small enough."""
    for quality in range(90, 30, -5):
        jpeg = io.BytesIO()
        thumbnail.save(jpeg, "JPEG", quality=quality, optimize=True)
        if jpeg.tell() <= LARGEST_FILE:
            break
    file.write_bytes(jpeg.getvalue())
    print(f"{file.name}: {jpeg.tell()} bytes, quality {quality}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
