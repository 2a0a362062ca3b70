"""Makes workflows/*.jpg of templates for models that the demo model cannot stand for: drawings, no results.

From the repository's root:  .dev/0.30.0/venv/bin/python -m tools.pictures.drawn_thumbnails
"""

from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from tools.harness.workflow import TEMPLATES
from tools.pictures.thumbnails import SIDE, save

BACKGROUND, SKY, GROUND, SUN, EDGE = "#20252b", "#3f789e", "#2f8a4a", "#f2b134", "#ffffff"
FRAMES = 4
SHIFT = 12
"""Pixels from one frame of a stack to the next, to the right and upwards."""
LARGE_WIDTH = 340
MARGIN = 28
TITLE, TEXT = 40, 24
"""Sizes of letters."""


@dataclass(frozen=True)
class Video:
    """base, target: (width, height) in pixels."""

    title: str
    base: tuple[int, int]
    target: tuple[int, int]


VIDEOS = {
    "FreeScale 15 VideoCrafter2 text to video": Video("VideoCrafter2", (512, 320), (1024, 640)),
    "FreeScale 16 SVD image to video": Video("Stable Video Diffusion", (1024, 576), (2048, 1152)),
}


def drawing(video: Video) -> Image.Image:
    """The frames of the base video and of the larger one, in true proportion."""
    picture = Image.new("RGB", (SIDE, SIDE), BACKGROUND)
    draw = ImageDraw.Draw(picture)
    width, height = video.target
    large = (LARGE_WIDTH, LARGE_WIDTH * height // width)
    small = (LARGE_WIDTH * video.base[0] // width, LARGE_WIDTH * video.base[1] // width)
    draw.text((MARGIN, MARGIN - 10), video.title, fill=EDGE, font=ImageFont.load_default(TITLE))
    bottom = SIDE - MARGIN
    for size, told, foot in ((large, video.target, bottom), (small, video.base, bottom - large[1] - 60)):
        for back in reversed(range(FRAMES)):
            corner = (MARGIN + back * SHIFT, foot - size[1] - back * SHIFT)
            draw_frame(draw, corner, size, FRAMES - 1 - back)
        place = (MARGIN + size[0] + FRAMES * SHIFT, foot - TEXT)
        draw.text(place, f"{told[0]}\nx {told[1]}", fill=EDGE, font=ImageFont.load_default(TEXT), anchor="ls")
    return picture


def draw_frame(draw: ImageDraw.ImageDraw, corner: tuple[int, int], size: tuple[int, int], frame: int) -> None:
    """A sun that goes from left to right over a meadow."""
    (left, top), (width, height) = corner, size
    right, bottom = left + width, top + height
    draw.rectangle((left, top, right, bottom), fill=SKY, outline=EDGE, width=2)
    draw.rectangle((left + 2, bottom - height // 3, right - 2, bottom - 2), fill=GROUND)
    x, y, radius = left + width * (frame + 1) // (FRAMES + 1), top + height // 3, height // 7
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=SUN)


if __name__ == "__main__":
    for name, video in VIDEOS.items():
        save(drawing(video), TEMPLATES / f"{name}.jpg")
