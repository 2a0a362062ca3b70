"""ScaleCrafter (arXiv 2310.07702): sampling from noise at the target size, with dilated convolutions.

Settings of its SDXL configurations. 2x: the deepest blocks are dilated by 2 for 30 of 50 steps. 4x: the
deepest by 4, the next up level by 3, the last by 2, and noise-damped guidance: the undilated model
denoises, the dilated one says which way the prompt pulls.

Departures: the deepest down blocks are dilated, too (the configurations mean them, but name blocks that
SDXL does not have); steps count by noise level; no dispersed kernels, which are fitted once for a model;
noise-damped guidance as long as the dilation. The knob is the share of the schedule that is dilated, 0.6
there.
"""

from collections.abc import Iterable
from typing import Any

from comfy.samplers import calc_cond_batch
from freescale_pack.freescale_core.schedule import TIMESTEPS
from torch import Tensor

from tools.bench.picture_quality.families.dilated_layers import (
    Convs,
    convs_of,
    deepest_down_convs,
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
    plain = [False]
    """Whether the model call at hand is to be undilated."""

    def layers(unet: Any, t: float, factor: int) -> Iterable[tuple[Convs, int]]:
        return [] if plain[0] or t < (1 - until) * TIMESTEPS else groups(unet, factor)

    def noise_damped(args: dict[str, Any]) -> Tensor:
        plain[0] = True
        try:
            anchor = calc_cond_batch(
                args["model"], [args["input_uncond"]], args["input"], args["timestep"], args["model_options"]
            )[0]
        finally:
            plain[0] = False
        pull = args["cond_denoised"] - args["uncond_denoised"]
        return args["input"] - (anchor + args["cond_scale"] * pull)

    model = with_dilated_layers(model, base, layers)
    if scale >= DAMPED_FROM:
        model.set_model_sampler_cfg_function(noise_damped)
    return model


def groups(unet: Any, factor: int) -> list[tuple[Convs, int]]:
    """Dilation by level: the whole factor in the deepest, one less a level up, at least 1."""
    deepest = [*deepest_down_convs(unet), *convs_of([unet.middle_block])]
    levels = up_levels(unet) if factor >= DAMPED_FROM else up_levels(unet)[:1]
    return [(deepest, factor), *((convs, max(1, factor - i)) for i, convs in enumerate(levels))]


FAMILIES = (Family("scalecrafter", "ScaleCrafter", "dilated share", (0.3, 0.6), paint, at_4x=(0.6,)),)
