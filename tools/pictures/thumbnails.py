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


def inset(pictures: Sequence[Image.Image], count: int = 1, largest: int = LARGEST_INSET) -> Image.Image:
    """The largest, and in a corner the `count` smallest: in true proportion, but no larger than
    `largest` pixels."""
    thumbnail = square(pictures[-1])
    left = INSET_MARGIN
    for picture in pictures[:count]:
        small = square(picture, min(SIDE * picture.width // pictures[-1].width, largest))
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


def four_and_one(pictures: Sequence[Image.Image]) -> Image.Image:
    """The largest, and in a row at its foot the four base pictures."""
    return inset([*pictures[:4], pictures[-1]], 4, SIDE // 4 - INSET_MARGIN - 3 * LINE)


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
    """bypassed: a type of node to do without. unmuted: with all groups on."""

    text: str
    compose: Compose
    region_text: str | None = None
    bypassed: str = ""
    unmuted: bool = False


RECIPES = {
    "FreeScale 01 Text to 4k": Recipe("red car on a orange background", inset),
    "FreeScale 02 Text to 2k": Recipe("robot on a blue background", inset),
    "FreeScale 03 Text to 4k.app": Recipe("owl on a teal background", slices),
    "FreeScale 04 Any image to 2k": Recipe("sailboat on a white background", slices),
    "FreeScale 05 Best of four": Recipe("mushroom on a yellow background", four_and_one, unmuted=True),
    "FreeScale 06 Any model to 4k": Recipe("bus on a pink background", slices),
    "FreeScale 07 Few steps to 2k": Recipe("sunflower on a blue background", inset),
    # No ControlNet was trained for the demo model.
    "FreeScale 08 ControlNet at 4k": Recipe(
        "frog on a black background", slices, bypassed="ControlNetApplyAdvanced"
    ),
    "FreeScale 09 Detail in a region": Recipe("snowman in a meadow", inset_with_map),
    "FreeScale 10 Prompt in a region": Recipe(
        "red apple on a white background", inset, region_text="strawberry on a white background"
    ),
    "FreeScale 11 Text to 8k": Recipe("castle on a purple background", inset),
    "FreeScale 12 Stage by stage": Recipe("panda on a green background", slices),
    "FreeScale 13 Versus direct": Recipe("rocket at night", two_middles),
    "FreeScale 14 Parts switched off": Recipe("fox on a gray background", grid),
}
FROM_A_PICTURE = ("FreeScale 04 Any image to 2k",)
"""Templates that load a picture: here one by the demo model."""


def main() -> int:
    names = sys.argv[1:] or list(RECIPES)
    server = default_server()
    with server as client:
        for name in names:
            if name in FROM_A_PICTURE:
                base, *_ = made_by(client, "FreeScale 02 Text to 2k", RECIPES[name])
                base.save(server.folder / "input" / EXAMPLE)
            thumbnail = RECIPES[name].compose(made_by(client, name, RECIPES[name]))
            save(thumbnail, workflow.TEMPLATES / f"{name}.jpg")
    return 0


def made_by(client: ComfyClient, name: str, recipe: Recipe) -> list[Image.Image]:
    """What a template loads, shows and saves, from the smallest to the largest; equal sizes in the order of
    its nodes."""
    graph = workflow.load(workflow.TEMPLATES / f"{name}.json")
    for node in graph["nodes"]:
        if recipe.unmuted and node["mode"] == workflow.MUTED:
            node["mode"] = 0
    changes = {"text": recipe.text, "region_text": recipe.region_text}
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
