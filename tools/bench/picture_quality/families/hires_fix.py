"""Hires-fix: enlarge, then sample the last part of the schedule. The reference curve of every comparison.

Its knob is the restart, 1 - denoise: of the table's steps the last ones are sampled, as KSampler (Advanced)
does from a step on. Relatives answer whether something simpler explains a lead: told the base size, as
FreeScale tells it to SDXL; with all the table's steps below its denoise, as KSampler does; with half the
steps; to 4x in one jump; and with an unsharp mask, which is a lead in sharpness and nothing else.
"""

from dataclasses import replace
from functools import partial

from torch import Tensor

from tools.bench.picture_quality.families.enlarged import unsharp_masked
from tools.bench.picture_quality.families.family import TABLES, Family
from tools.bench.picture_quality.painter import Painter, Shot


def plain(painter: Painter, shot: Shot, restart: float) -> Tensor:
    return painter.through_stages(shot, painter.model, restart)


def told_the_base_size(painter: Painter, shot: Shot, restart: float) -> Tensor:
    return painter.through_stages(shot, painter.model, restart, told=shot.base)


def all_steps_below(painter: Painter, shot: Shot, restart: float) -> Tensor:
    """The steps of a whole schedule are so many that the table's number is left after the restart."""
    steps = int(painter.sampling.steps / (1 - restart))
    return painter.through_stages(shot, painter.model, restart, steps=steps)


def half_the_steps(painter: Painter, shot: Shot, restart: float) -> Tensor:
    return painter.through_stages(shot, painter.model, restart, steps=painter.sampling.steps // 2)


def in_one_jump(painter: Painter, shot: Shot, restart: float) -> Tensor:
    return plain(painter, replace(shot, stages=(shot.target,)), restart)


def sharpened(painter: Painter, shot: Shot, amount: float, restart: float) -> Tensor:
    return unsharp_masked(plain(painter, shot, restart), amount, shot.scale / 2)


RESTARTS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
AT_4X = RESTARTS[:-1]
FAMILIES = (
    Family(
        "hires_fix",
        "hires-fix",
        "restart",
        RESTARTS,
        plain,
        "the base image is enlarged, noised and sampled from a step of the schedule on; at 4x twice, by the "
        "same stages as FreeScale. Denoise is 1 - restart: 0.7 is denoise 0.3, the last 6 of 20 steps.",
        1,
        TABLES,
        at_4x=AT_4X,
    ),
    Family(
        "hires_fix_told",
        "hires-fix told the base size",
        "restart",
        RESTARTS,
        told_the_base_size,
        "the same, but SDXL's size conditioning says the base size, as FreeScale makes it say.",
        tables=TABLES,
        at_4x=(0.4, 0.6, 0.8),
    ),
    Family(
        "hires_fix_ksampler",
        "hires-fix by KSampler's denoise",
        "restart",
        (0.4, 0.5, 0.7, 0.8, 0.9),
        all_steps_below,
        "the same, with all 20 steps below its denoise, as the node KSampler takes them.",
        tables=("2x",),
    ),
    Family(
        "hires_fix_sharpened",
        "hires-fix, restart 0.7, unsharp mask",
        "amount",
        (0.03, 0.1),
        partial(sharpened, restart=0.7),
        "a control: its finished images through a filter that draws nothing.",
        tables=("2x",),
    ),
    Family(
        "hires_fix_freer_sharpened",
        "hires-fix, restart 0.4, unsharp mask",
        "amount",
        (0.1,),
        partial(sharpened, restart=0.4),
        "the same where hires-fix draws more.",
        tables=("2x",),
    ),
    Family(
        "hires_fix_one_jump",
        "hires-fix in one jump",
        "restart",
        (0.5, 0.7),
        in_one_jump,
        "hires-fix straight to four times the size, without the stage between.",
        tables=("4x",),
    ),
    Family(
        "hires_fix_half",
        "hires-fix, half the steps",
        "restart",
        (0.5, 0.7),
        half_the_steps,
        "the same from a schedule of 10 steps.",
        3,
        ("2x",),
    ),
)
