"""True images of the demo model's prompts: where every measure would end if a method drew like its data.

They follow no base image, so their repetition and consistency say nothing.
"""

import importlib.util

import numpy as np
import torch
from torch import Tensor

from tools.bench.picture_quality.families.family import TABLES, Family
from tools.bench.picture_quality.painter import Painter, Pixels, Shot


def available() -> bool:
    return importlib.util.find_spec("resvg_py") is not None


def drawn(text: str, size: Pixels, seed: int) -> np.ndarray:
    """uint8 RGB (height, width, 3)."""
    from tools.demo.train.concepts import PLACES
    from tools.demo.train.pictures import render_picture

    place = next(place for place in PLACES if text.endswith(place))
    return render_picture(text.removesuffix(place).strip(), place, size[::-1], seed)


def paint(painter: Painter, shot: Shot, knob: float) -> Tensor:
    return torch.from_numpy(drawn(shot.text, shot.target, shot.seed))[None].float() / 255


FAMILIES = (
    Family(
        "true_images",
        "true images",
        "",
        (0.0,),
        paint,
        "the things and places of the prompts as the program draws them that drew the training images.",
        rank=1,
        tables=TABLES,
        of_renders=True,
    ),
)
