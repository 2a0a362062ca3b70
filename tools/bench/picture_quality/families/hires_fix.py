"""Hires-fix: enlarge, then sample the last part of the schedule. The reference curve of every comparison.

Its knob is the restart, 1 - denoise. Two relatives answer whether something simpler explains a lead: one is
told the base size, as FreeScale tells it to SDXL, one takes half the steps.
"""

from torch import Tensor

from tools.bench.picture_quality.families.family import TABLES, Family
from tools.bench.picture_quality.painter import Painter, Shot


def plain(painter: Painter, shot: Shot, restart: float) -> Tensor:
    return painter.through_stages(shot, painter.model, restart)


def told_the_base_size(painter: Painter, shot: Shot, restart: float) -> Tensor:
    return painter.through_stages(shot, painter.model, restart, told=shot.base)


def half_the_steps(painter: Painter, shot: Shot, restart: float) -> Tensor:
    return painter.through_stages(shot, painter.model, restart, steps=painter.sampling.steps // 2)


RESTARTS, AT_4X, TWO = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8), (0.5, 0.6, 0.7, 0.8), (0.5, 0.7)
FAMILIES = (
    Family("hires_fix", "hires-fix", "restart", RESTARTS, plain, 1, TABLES, at_4x=AT_4X),
    Family(
        "hires_fix_told", "hires-fix told the base size", "restart", TWO, told_the_base_size, tables=("2x",)
    ),
    Family("hires_fix_half", "hires-fix, half the steps", "restart", TWO, half_the_steps, 3, ("2x",)),
)
