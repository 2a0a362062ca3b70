"""Candidates for something better than the curves. In the bench only: none enters the product unless its
points lie on the better side of every family's curve, with intervals apart.
"""

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from freescale_pack.freescale_core.schedule import TIMESTEPS
from freescale_pack.freescale_core.settings import DetailRegion
from freescale_pack.nodes.backbones.unet import dilation_convs
from freescale_pack.nodes.host.noise_level import timestep
from kornia.color import rgb_to_grayscale
from kornia.filters import gaussian_blur2d, sobel
from torch import Tensor

import nodes as host_nodes
from tools.bench.picture_quality.families.dilated_layers import Convs, with_dilated_layers
from tools.bench.picture_quality.families.enlarged import unsharp_masked
from tools.bench.picture_quality.families.family import Family
from tools.bench.picture_quality.families.freescale import LAST_DILATED, RESTART, hold_alone, patched
from tools.bench.picture_quality.families.tiles import in_tiles
from tools.bench.picture_quality.painter import Latent, Painter, Pixels, Shot, resized

CELLS = 1.0
"""Sigma of the blur that parts low from high frequencies, in latent pixels of the target."""


def attention_temperature(painter: Painter, shot: Shot, restart: float) -> Tensor:
    base = shot.base[0] * shot.base[1]

    def sharper(q: Tensor, k: Tensor, v: Tensor, options: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        grid = options["original_shape"]
        trained = max(2.0, q.shape[1] * base / (64 * grid[2] * grid[3]))
        return q * math.sqrt(max(1.0, math.log(q.shape[1]) / math.log(trained))), k, v

    model = painter.model.clone()
    model.set_model_attn1_patch(sharper)
    return painter.through_stages(shot, model, restart)


def low_band(painter: Painter, shot: Shot, weight: float) -> Tensor:
    def held(start: Latent) -> Any:
        model = painter.model.clone()
        reference = low(model.model.process_latent_in(start["samples"]))

        def pull(args: dict[str, Any]) -> Tensor:
            image = args["denoised"]
            return image + weight * (reference.to(image) - low(image))

        model.set_model_sampler_post_cfg_function(pull)
        return model

    return painter.through_stages(shot, held, RESTART)


def mixed_start(painter: Painter, shot: Shot, restart: float) -> Tensor:
    def mix(latent: Latent, size: Pixels) -> Latent:
        in_rgb = painter.enlarged(latent, size)["samples"]
        in_latents = host_nodes.LatentUpscale().upscale(latent, "bicubic", *size, "disabled")[0]["samples"]
        return {"samples": low(in_rgb) + in_latents - low(in_latents)}

    return painter.through_stages(shot, painter.model, restart, enlarge=mix)


def sharpened_start(painter: Painter, shot: Shot, restart: float) -> Tensor:
    def sharp(latent: Latent, size: Pixels) -> Latent:
        return painter.encoded(unsharp_masked(resized(painter.decoded(latent), size, "bicubic"), 1.0, 1.0))

    return painter.through_stages(shot, painter.model, restart, enlarge=sharp)


def progressive_dilation(painter: Painter, shot: Shot, alpha: float) -> Tensor:
    def layers(unet: Any, t: float, factor: int) -> Iterable[tuple[Convs, int]]:
        left = (t - LAST_DILATED) / (TIMESTEPS - LAST_DILATED)
        return [(dilation_convs(unet), max(math.ceil(factor * left), 2))] if left >= 0 else []

    model = patched(painter.model, shot.base, alpha, change=lambda s: replace(s, dilation=None))
    return painter.through_stages(shot, with_dilated_layers(model, shot.base, layers), RESTART)


def alpha_by_detail(painter: Painter, shot: Shot, alpha: float) -> Tensor:
    image = painter.decoded(shot.latent).movedim(-1, 1)
    edges = gaussian_blur2d(sobel(rgb_to_grayscale(image)), (9, 9), (2.0, 2.0))[:, 0]
    region = DetailRegion((edges / edges.max().clamp(min=1e-6)).clamp(0, 1), alpha)
    change = lambda s: replace(s, detail=replace(s.detail, alpha=alpha / 4, regions=(region,)))  # noqa: E731
    return painter.through_stages(shot, patched(painter.model, shot.base, alpha, change=change), RESTART)


def held_tiles(painter: Painter, shot: Shot, alpha: float) -> Tensor:
    model = patched(painter.model, shot.base, alpha, change=hold_alone)
    return tiles_until(painter, shot, model, 0.0)


def tiles_then_whole(painter: Painter, shot: Shot, until: float) -> Tensor:
    return tiles_until(painter, shot, patched(painter.model, shot.base, 1.0), until)


def tiles_until(painter: Painter, shot: Shot, model: Any, until: float) -> Tensor:
    """until: timestep t down to which the model sees tiles."""
    model_sampling = model.get_model_object("model_sampling")

    def wrapper(apply: Any, args: dict[str, Any]) -> Tensor:
        if timestep(model_sampling, float(args["timestep"].flatten()[0])) >= until:
            return in_tiles(apply, args, shot.base)
        return apply(args["input"], args["timestep"], **args["c"])

    model.set_model_unet_function_wrapper(wrapper)
    return painter.through_stages(shot, model, RESTART)


def low(x: Tensor) -> Tensor:
    """(b, c, h, w) -> its low frequencies."""
    taps = 2 * round(3 * CELLS) + 1
    return gaussian_blur2d(x.float(), (taps, taps), (CELLS, CELLS), border_type="replicate").to(x.dtype)


def _idea(
    name: str, label: str, knob: str, values: tuple[float, ...], paint: Any, note: str, table: str = "2x"
) -> Family:
    return Family(name, f"idea: {label}", knob, values, paint, note, 3, (table,))


IDEAS = (
    _idea(
        "temperature",
        "attention temperature",
        "restart",
        (0.5, 0.7),
        attention_temperature,
        "hires-fix, self-attention's scores times sqrt(log n / log n0), n0 tokens being the base size's.",
    ),
    _idea(
        "low_band",
        "low band held",
        "weight",
        (0.25, 1.0),
        low_band,
        "hires-fix from restart 0.3; in each step the low frequencies of the predicted image are pulled "
        "towards the enlargement, and the high ones are free.",
    ),
    _idea(
        "mixed_start",
        "mixed start",
        "restart",
        (0.5, 0.7),
        mixed_start,
        "hires-fix from the low frequencies of the enlarged image and the high ones of the enlarged latent.",
    ),
    _idea(
        "sharpened_start",
        "sharpened start",
        "restart",
        (0.7, 0.8),
        sharpened_start,
        "hires-fix with an unsharp mask on the enlarged image before it is encoded.",
    ),
    _idea(
        "progressive",
        "progressive dilation",
        "alpha",
        (1.0,),
        progressive_dilation,
        "FreeScale, its dilation shrinking step by step, but never below 2.",
        "4x",
    ),
    _idea(
        "by_detail",
        "alpha by detail",
        "alpha",
        (1.0, 3.0),
        alpha_by_detail,
        "FreeScale with this alpha where the base image has edges and down to a quarter of it elsewhere.",
    ),
    _idea(
        "held_tiles",
        "tiles held",
        "alpha",
        (0.5, 2.0),
        held_tiles,
        "FreeScale's eq. 4 and restart around overlapping tiles of the base size, without fusion and "
        "dilation.",
    ),
    _idea(
        "tiles_then_whole",
        "tiles, then whole, alpha 1",
        "tiles until t",
        (300.0, 500.0),
        tiles_then_whole,
        "tiles down to a timestep of 1000, FreeScale below it.",
    ),
)
