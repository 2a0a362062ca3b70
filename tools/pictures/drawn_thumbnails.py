"""Makes workflows/*.jpg of templates for models that the demo model cannot stand for: drawings, no results.

From the repository's root:  .dev/0.30.0/venv/bin/python -m tools.pictures.drawn_thumbnails
"""

from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from tools.harness.workflow import TEMPLATES
from tools.pictures.thumbnails import SIDE, save

BACKGROUND, SKY, GROUND, SUN, EDGE = "#20252b", "#3f789e", "#2f8a4a", "#f2b134", "#ffffff"
FRAMES = 4
"""Of a video, as many are drawn."""
SHIFT = 12
"""Pixels from one frame of a stack to the next, to the right and upwards."""
MOST = (340, 272)
"""Sides of the larger drawing."""
MARGIN = 28
TITLE, TEXT = 40, 24
"""Sizes of letters."""


@dataclass(frozen=True)
class Sizes:
    """base, target: (width, height) in pixels. frames: 1 for an image."""

    title: str
    base: tuple[int, int]
    target: tuple[int, int]
    frames: int = 1


DRAWN = {
    "FreeScale 15 VideoCrafter2 text to video": Sizes("VideoCrafter2", (512, 320), (1024, 640), FRAMES),
    "FreeScale 16 SVD image to video": Sizes("Stable Video Diffusion", (1024, 576), (2048, 1152), FRAMES),
    "FreeScale 17 FLUX to 4k": Sizes("FLUX", (1024, 1024), (4096, 4096)),
    "FreeScale 18 Z-Image to 4k": Sizes("Z-Image", (1024, 1024), (4096, 4096)),
    "FreeScale 19 Qwen-Image to 4k": Sizes("Qwen-Image", (1328, 1328), (3984, 3984)),
    "FreeScale 20 Wan video to 2k": Sizes("Wan 2.1", (832, 480), (2000, 1152), FRAMES),
    "FreeScale 21 Wan 2.2 video to 2k": Sizes("Wan 2.2, two experts", (1280, 720), (1920, 1088), FRAMES),
}


def drawing(sizes: Sizes) -> Image.Image:
    """The base and the larger image or video, in true proportion."""
    picture = Image.new("RGB", (SIDE, SIDE), BACKGROUND)
    draw = ImageDraw.Draw(picture)
    scale = min(most / side for most, side in zip(MOST, sizes.target, strict=True))
    small, large = (tuple(round(scale * side) for side in told) for told in (sizes.base, sizes.target))
    draw.text((MARGIN, MARGIN - 10), sizes.title, fill=EDGE, font=ImageFont.load_default(TITLE))
    bottom = SIDE - MARGIN
    for size, told, foot in ((large, sizes.target, bottom), (small, sizes.base, bottom - large[1] - 60)):
        for back in reversed(range(sizes.frames)):
            corner = (MARGIN + back * SHIFT, foot - size[1] - back * SHIFT)
            draw_frame(draw, corner, size, (sizes.frames - back) / (sizes.frames + 1))
        place = (MARGIN + size[0] + sizes.frames * SHIFT, foot - TEXT)
        draw.text(place, f"{told[0]}\nx {told[1]}", fill=EDGE, font=ImageFont.load_default(TEXT), anchor="ls")
    return picture


def draw_frame(
    draw: ImageDraw.ImageDraw, corner: tuple[int, int], size: tuple[int, int], along: float
) -> None:
    """A sun over a meadow. along: how far it has gone from left to right, in 0..1."""
    (left, top), (width, height) = corner, size
    right, bottom = left + width, top + height
    draw.rectangle((left, top, right, bottom), fill=SKY, outline=EDGE, width=2)
    draw.rectangle((left + 2, bottom - height // 3, right - 2, bottom - 2), fill=GROUND)
    x, y, radius = left + round(width * along), top + height // 3, height // 7
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=SUN)


if __name__ == "__main__":
    for name, sizes in DRAWN.items():
        save(drawing(sizes), TEMPLATES / f"{name}.jpg")
