"""Finished images on disk, with what was counted and judged of them.

A name is a hash of all that an image follows from, so a killed run goes on where it was.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

Key = dict[str, Any]
"""Plain data (JSON) that names one image."""


class Store:
    """PNGs below `folder`, with their key and code as text inside.

    common: what all keys share. code: digest of the code that makes the images; those of other code count
    as missing, unless any_code.
    """

    def __init__(self, folder: Path, common: Key, code: str, any_code: bool = False) -> None:
        self.folder, self.common, self.code, self.any_code = folder, common, code, any_code
        folder.mkdir(parents=True, exist_ok=True)

    def has(self, key: Key) -> bool:
        return self._path(key).is_file() and (self.any_code or self.code_of(key) == self.code)

    def code_of(self, key: Key) -> str:
        with Image.open(self._path(key)) as image:
            return image.text["code"]

    def image(self, key: Key) -> np.ndarray:
        """uint8 RGB (h, w, 3)."""
        with Image.open(self._path(key)) as image:
            return np.array(image.convert("RGB"))

    def save(self, key: Key, image: np.ndarray) -> None:
        info = PngImagePlugin.PngInfo()
        info.add_text("freescale_bench", json.dumps(self.common | key))
        info.add_text("code", self.code)
        with _Whole(self._path(key)) as partial:
            Image.fromarray(image).save(partial, format="PNG", pnginfo=info)

    def cost(self, key: Key) -> dict[str, float] | None:
        """What one image of a point took, by `Job.point_key`."""
        path = self._path(key, ".json")
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def save_cost(self, key: Key, cost: Mapping[str, float]) -> None:
        with _Whole(self._path(key, ".json")) as partial:
            partial.write_text(json.dumps(dict(cost)), encoding="utf-8")

    def judged(self, key: Key, judge: str) -> dict[str, np.ndarray] | None:
        """What `judge` found in the image as it is now, or None."""
        path = self._path(key, f".{judge}.npz")
        if not path.is_file() or path.stat().st_mtime < self._path(key).stat().st_mtime:
            return None
        with np.load(path) as found:
            return dict(found)

    def save_judged(self, key: Key, judge: str, found: Mapping[str, np.ndarray]) -> None:
        with _Whole(self._path(key, f".{judge}.npz")) as partial, partial.open("wb") as file:
            np.savez(file, **found)

    def _path(self, key: Key, suffix: str = ".png") -> Path:
        text = json.dumps(self.common | key, sort_keys=True)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:20]}{suffix}"


class _Whole:
    """A file that is written at once or not at all: a kill leaves no half one under its name."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Two processes may share a folder.
        self._partial = path.with_suffix(f"{path.suffix}.{os.getpid()}.partial")

    def __enter__(self) -> Path:
        return self._partial

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is None:
            os.replace(self._partial, self._path)


def file_digest(*files: Path) -> str:
    """SHA-256 of the files one after the other, read piece by piece: a checkpoint may be large."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    return digest.hexdigest()
