"""Sampling from noise at the target size: as it is, and with ComfyUI's own Deep Shrink.

Deep Shrink's knob is end_percent, 0.35 by default. Its factor is the scale, so that the deepest blocks see
the base size's grid; the rest are the node's defaults.
"""

from comfy_extras.nodes_model_downscale import PatchModelAddDownscale
from torch import Tensor

from tools.bench.picture_quality.families.family import TABLES, Family, without_knob
from tools.bench.picture_quality.painter import Painter, Shot

BLOCK = 3


def direct(painter: Painter, shot: Shot) -> Tensor:
    return painter.direct(shot, painter.model)


def deep_shrink(painter: Painter, shot: Shot, end: float) -> Tensor:
    options = (BLOCK, shot.scale, 0.0, end, True, "bicubic", "bicubic")
    return painter.direct(shot, PatchModelAddDownscale.execute(painter.model, *options).result[0])


FAMILIES = (
    without_knob(
        "direct",
        "direct sampling",
        direct,
        "ordinary sampling from noise at the target size.",
        rank=1,
        tables=TABLES,
    ),
    Family(
        "deep_shrink",
        "Deep Shrink",
        "end",
        (0.2, 0.35, 0.6),
        deep_shrink,
        "ComfyUI's own node: from noise, and until the share `end` of the schedule the deepest blocks see "
        "the base size.",
        at_4x=(0.35,),
    ),
)
