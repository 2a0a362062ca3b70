"""Finished pictures on disk.

A name is a hash of all that a picture follows from, so a killed run goes on where it was.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

Key = dict[str, Any]
"""Plain data (JSON) that names one picture."""


class Store:
    """PNGs below `folder`, with their key and code as text inside.

    common: what all keys share. code: digest of the code that makes the pictures; those of other code count
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

    def picture(self, key: Key) -> np.ndarray:
        """uint8 RGB (h, w, 3)."""
        with Image.open(self._path(key)) as image:
            return np.array(image.convert("RGB"))

    def save(self, key: Key, picture: np.ndarray) -> None:
        """At once or not at all: a kill leaves no half file under its name."""
        info, partial = PngImagePlugin.PngInfo(), self._path(key).with_suffix(".partial")
        info.add_text("freescale_bench", json.dumps(self.common | key))
        info.add_text("code", self.code)
        Image.fromarray(picture).save(partial, format="PNG", pnginfo=info)
        os.replace(partial, self._path(key))

    def _path(self, key: Key) -> Path:
        text = json.dumps(self.common | key, sort_keys=True)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:20]}.png"


def file_digest(*files: Path) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
