"""Training pictures: an icon of Microsoft's Fluent Emoji (MIT) before a coloured background or a small
landscape.

The icons are vector drawings, so a picture of any size is drawn from them at that size: true high resolution,
not an enlargement.
"""

import io
import json
import multiprocessing
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import resvg_py
from PIL import Image

from tools import ROOT
from tools.demo.train.concepts import COLOURS, CONCEPTS

PACKAGE = "@iconify-json/fluent-emoji@1.2.7"
WORK = ROOT / ".dev" / "train"
DRAWN = 1024
"""Side in px of the stored renders; a thing larger than that is never asked for."""


@dataclass(frozen=True)
class Drawing:
    """What `render_picture` is asked for."""

    concept: str
    place: str
    size: int | tuple[int, int]
    seed: int
    fill: float = 0.88

    def render(self) -> np.ndarray:
        return render_picture(self.concept, self.place, self.size, self.seed, fill=self.fill)


def render_pictures(drawings: Sequence[Drawing]) -> list[np.ndarray]:
    """All of them, in their order, by all cores."""
    for drawing in drawings:
        _drawn_file(CONCEPTS[drawing.concept])  # now: otherwise each process would fetch the icons
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(mp_context=spawning) as processes:
        return list(processes.map(Drawing.render, drawings, chunksize=8))


def render_picture(
    concept: str,
    place: str,
    size: int | tuple[int, int],
    seed: int,
    *,
    fill: float = 0.88,
    jitter: float = 0.03,
) -> np.ndarray:
    """One picture, uint8 RGB (height, width, 3).

    place: a colour's name, "on a <colour> background", or a scene. size: px, one side or (height, width).
    fill: side of the thing over the shorter side. jitter: how far its centre may lie off the middle, as a
    part of the shorter side.
    """
    height, width = (size, size) if isinstance(size, int) else size
    rng = np.random.default_rng(seed)
    short = min(height, width)
    side = round(fill * rng.uniform(0.95, 1.05) * short)
    picture = background(place, height, width, rng)
    top, left = ((length - side) / 2 + rng.uniform(-jitter, jitter) * short for length in (height, width))
    paste(picture, icon(CONCEPTS[concept], min(side, DRAWN)), round(top), round(left))
    return (picture * 255).round().clip(0, 255).astype(np.uint8)


def paste(picture: np.ndarray, thing: np.ndarray, top: int, left: int) -> None:
    """Lay `thing` (side, side, 4; premultiplied) over `picture` (height, width, 3), what sticks out is
    cut."""
    side, (height, width) = len(thing), picture.shape[:2]
    rows, columns = slice(max(top, 0), min(top + side, height)), slice(max(left, 0), min(left + side, width))
    cut = thing[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    picture[rows, columns] = cut[..., :3] + (1 - cut[..., 3:]) * picture[rows, columns]


def icon(name: str, side: int) -> np.ndarray:
    """The icon as premultiplied RGBA (side, side, 4), float32 in 0..1."""
    return (
        np.asarray(
            _drawn(name).resize((side, side), Image.Resampling.LANCZOS, reducing_gap=2), dtype=np.float32
        )
        / 255
    )


@cache
def _drawn(name: str) -> Image.Image:
    return Image.open(_drawn_file(name)).convert("RGBa")


def background(place: str, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """(height, width, 3), float32 in 0..1.

    Drawn in coordinates relative to the picture, so every size shows the same.
    """
    y, x = np.meshgrid((np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width, indexing="ij")
    if place.endswith("meadow"):
        return _landscape(
            y, x, rng, sky=((112, 176, 240), (206, 232, 250)), far=(112, 184, 110), near=(74, 152, 82)
        )
    if place.endswith("night"):
        return _landscape(y, x, rng, sky=((20, 24, 64), (72, 66, 130)), far=(40, 44, 92), near=(24, 28, 62))
    colour = _rgb(COLOURS[place.removeprefix("on a ").removesuffix(" background")])
    angle, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.24)
    light = 1 + slope * ((x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle))
    return (colour * light[..., None]).clip(0, 1).astype(np.float32)


def _landscape(
    y: np.ndarray, x: np.ndarray, rng: np.random.Generator, *, sky: tuple, far: tuple, near: tuple
) -> np.ndarray:
    top, low = _rgb(sky[0]), _rgb(sky[1])
    picture = top + (low - top) * np.clip(y / 0.7, 0, 1)[..., None]
    for colour, level in ((far, rng.uniform(0.5, 0.6)), (near, rng.uniform(0.66, 0.78))):
        phase, waves = rng.uniform(0, 2 * np.pi), rng.uniform(0.6, 1.4)
        hill = level + 0.05 * np.sin(2 * np.pi * waves * x + phase)
        shade = 1.08 - 0.3 * np.clip(y - hill, 0, 1)
        cover = np.clip((y - hill) * len(y), 0, 1)[..., None]
        picture = picture * (1 - cover) + _rgb(colour) * shade[..., None] * cover
    return picture.clip(0, 1).astype(np.float32)


def _rgb(colour: tuple[int, int, int]) -> np.ndarray:
    return np.asarray(colour, dtype=np.float32) / 255


def _drawn_file(name: str) -> Path:
    path = WORK / "icons" / f"{name}.png"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        body = _icons()[name]["body"]
        spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        svg = f'<svg {spaces} viewBox="0 0 32 32" width="{DRAWN}" height="{DRAWN}">{body}</svg>'
        Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg)))).save(path)
    return path


@cache
def _icons() -> dict:
    """The package's icons by name; fetched by npm once."""
    archive = WORK / (PACKAGE.lstrip("@").replace("/", "-").replace("@", "-") + ".tgz")
    if not archive.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError("Expected npm to fetch the icons, found none: install Node.js.")
        WORK.mkdir(parents=True, exist_ok=True)
        subprocess.run([npm, "pack", PACKAGE, "--silent"], cwd=WORK, check=True, stdout=subprocess.DEVNULL)
    with tarfile.open(archive) as files:
        return json.load(files.extractfile("package/icons.json"))["icons"]
