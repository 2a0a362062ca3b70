"""True images of the demo model's prompts: where every measure would end if a method drew like its data.

They follow no base image, so their repetition and consistency say nothing.
"""

import importlib.util

import torch
from torch import Tensor

from tools.bench.picture_quality.families.family import TABLES, Family
from tools.bench.picture_quality.painter import Painter, Shot


def available() -> bool:
    return importlib.util.find_spec("resvg_py") is not None


def paint(painter: Painter, shot: Shot, knob: float) -> Tensor:
    from tools.demo.train.concepts import PLACES
    from tools.demo.train.pictures import render_picture

    place = next(place for place in PLACES if shot.text.endswith(place))
    concept = shot.text.removesuffix(place).strip()
    picture = render_picture(concept, place, shot.target[::-1], shot.seed)
    return torch.from_numpy(picture)[None].float() / 255


FAMILIES = (Family("true_images", "true images", "", (0.0,), paint, rank=1, tables=TABLES, of_renders=True),)
