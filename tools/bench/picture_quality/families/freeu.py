"""FreeU, which FreeScale's authors switch on: ComfyUI's node, their numbers, FreeScale and hires-fix."""

from comfy_extras.nodes_freelunch import FreeU
from torch import Tensor

from tools.bench.picture_quality.families.family import Family
from tools.bench.picture_quality.families.freescale import RESTART, patched
from tools.bench.picture_quality.painter import Painter, Shot

AUTHORS = (1.1, 1.2, 0.6, 0.4)
"""b1, b2, s1, s2."""


def freescale(painter: Painter, shot: Shot, alpha: float) -> Tensor:
    model = FreeU.execute(painter.model, *AUTHORS).result[0]
    return painter.through_stages(shot, patched(model, shot.base, alpha), RESTART)


def hires_fix(painter: Painter, shot: Shot, restart: float) -> Tensor:
    return painter.through_stages(shot, FreeU.execute(painter.model, *AUTHORS).result[0], restart)


FAMILIES = (
    Family("freeu", "FreeScale with FreeU", "alpha", (0.5, 2.0), freescale, 3, ("2x",)),
    Family("hires_fix_freeu", "hires-fix with FreeU", "restart", (0.5, 0.7), hires_fix, 3, ("2x",)),
)
