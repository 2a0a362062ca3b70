"""Finished pictures on disk.

A name is a hash of all that a picture follows from, so a killed run goes on where it was.
"""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin
from safetensors.torch import load_file, save_file
from torch import Tensor

Key = dict[str, Any]
"""Plain data (JSON) that names one picture."""


class Store:
    """Pictures (PNG, with their key and code as text inside) and base latents below `folder`.

    common: what all keys share. code: digest of the code that makes the pictures; those of other code count
    as missing, unless any_code.
    """

    def __init__(self, folder: Path, common: Key, code: str, any_code: bool = False) -> None:
        self.folder = folder
        self.common = common
        self.code = code
        self.any_code = any_code
        folder.mkdir(parents=True, exist_ok=True)

    def has(self, key: Key) -> bool:
        return self._path(key, "png").is_file() and (self.any_code or self.code_of(key) == self.code)

    def code_of(self, key: Key) -> str:
        with Image.open(self._path(key, "png")) as image:
            return image.text["code"]

    def picture(self, key: Key) -> np.ndarray:
        """uint8 RGB (h, w, 3)."""
        with Image.open(self._path(key, "png")) as image:
            return np.array(image.convert("RGB"))

    def latent(self, key: Key, make: Callable[[], Tensor]) -> Tensor:
        path = self._path(key, "safetensors")
        if not path.is_file():
            _replace(path, lambda partial: save_file({"samples": make().contiguous()}, partial))
        return load_file(path)["samples"]

    def save(self, key: Key, picture: np.ndarray) -> None:
        info = PngImagePlugin.PngInfo()
        info.add_text("freescale_bench", json.dumps(self.common | key))
        info.add_text("code", self.code)
        _replace(
            self._path(key, "png"),
            lambda partial: Image.fromarray(picture).save(partial, format="PNG", pnginfo=info),
        )

    def _path(self, key: Key, suffix: str) -> Path:
        digest = hashlib.sha256(json.dumps(self.common | key, sort_keys=True).encode()).hexdigest()[:20]
        return self.folder / f"{digest}.{suffix}"


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write next to `path`, then rename: a kill leaves no half file under its name."""
    partial = path.with_suffix(".partial")
    write(partial)
    os.replace(partial, path)


def file_digest(*files: Path) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
