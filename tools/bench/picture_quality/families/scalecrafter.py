"""ScaleCrafter (arXiv 2310.07702): sampling from noise at the target size, with dilated convolutions.

Settings of its SDXL configurations. 2x: the deepest blocks are dilated by 2 for 30 of 50 steps. 4x, for 35:
the deepest by 4, the next up level by 3, the last by 2, all falling to 2 step by step; and noise-damped
guidance for as long: a model that is dilated in the middle and the deepest up blocks alone denoises, the
other one says which way the prompt pulls.

Departures: no FreeU; the deepest down blocks are dilated at 2x, too (the configuration means them, but
names blocks that SDXL does not have); steps count by noise level; no dispersed kernels, which are fitted
once for a model. The knob is the share of the schedule that is dilated, 0.6 and 0.7 there.
"""

import math
from collections.abc import Iterable
from typing import Any

from comfy.samplers import calc_cond_batch
from freescale_pack.freescale_core.schedule import TIMESTEPS
from freescale_pack.nodes.host.noise_level import timestep
from torch import Tensor

from tools.bench.picture_quality.families.dilated_layers import (
    Convs,
    convs_of,
    deepest_down_convs,
    deepest_up_convs,
    up_levels,
    with_dilated_layers,
)
from tools.bench.picture_quality.families.family import Family
from tools.bench.picture_quality.painter import Painter, Pixels, Shot

DAMPED_FROM = 4
"""Scale from which guidance is noise-damped."""


def paint(painter: Painter, shot: Shot, until: float) -> Tensor:
    return painter.direct(shot, patched(painter.model, shot.base, shot.scale, until))


def patched(model: Any, base: Pixels, scale: float, until: float) -> Any:
    for_anchor = [False]
    """Whether the model call at hand is the one that denoises."""
    model_sampling = model.get_model_object("model_sampling")

    def layers(unet: Any, t: float, factor: int) -> Iterable[tuple[Convs, int]]:
        if not is_dilated(t):
            return []
        chosen = anchor_groups(unet, factor) if for_anchor[0] else groups(unet, factor)
        left = 1 - (1 - t / TIMESTEPS) / until
        falling = factor >= DAMPED_FROM
        return [(convs, max(min(d, 2), math.ceil(d * left)) if falling else d) for convs, d in chosen]

    def is_dilated(t: float) -> bool:
        return t >= (1 - until) * TIMESTEPS

    def noise_damped(args: dict[str, Any]) -> Tensor:
        anchor = args["uncond_denoised"]
        if is_dilated(timestep(model_sampling, float(args["timestep"].flatten()[0]))):
            for_anchor[0] = True
            try:
                call = args["model"], [args["input_uncond"]], args["input"], args["timestep"]
                anchor = calc_cond_batch(*call, args["model_options"])[0]
            finally:
                for_anchor[0] = False
        pull = args["cond_denoised"] - args["uncond_denoised"]
        return args["input"] - (anchor + args["cond_scale"] * pull)

    model = with_dilated_layers(model, base, layers)
    if scale >= DAMPED_FROM:
        model.set_model_sampler_cfg_function(noise_damped)
    return model


def anchor_groups(unet: Any, factor: int) -> list[tuple[Convs, int]]:
    return [([*convs_of([unet.middle_block]), *deepest_up_convs(unet)], factor)]


def groups(unet: Any, factor: int) -> list[tuple[Convs, int]]:
    """Dilation by level: the whole factor in the deepest, one less a level up, at least 1."""
    deepest = [*deepest_down_convs(unet), *convs_of([unet.middle_block])]
    levels = up_levels(unet) if factor >= DAMPED_FROM else up_levels(unet)[:1]
    return [(deepest, factor), *((convs, max(1, factor - i)) for i, convs in enumerate(levels))]


FAMILIES = (
    Family(
        "scalecrafter",
        "ScaleCrafter",
        "dilated share",
        (0.3, 0.6),
        paint,
        "from noise, with dilated convolutions for that share of the schedule (0.6 and at 4x 0.7 in its "
        "release), and at 4x with its noise-damped guidance. Left out: dispersed kernels, FreeU, DDIM with "
        "added noise (eta 1); at 2x the deepest down blocks are dilated, too.",
        at_4x=(0.7,),
    ),
)
