"""DemoFusion (arXiv 2311.16973): whole schedule at each size, held by a skip residual; tiles and a dilated
grid.

* Skip residual: before each step x <- c x' + (1 - c) x with x' the noised enlargement of the size before, and
  c = ((1 + cos(pi (T - t) / T)) / 2)^alpha, the formula that FreeScale took over as its eq. 4.
* Local: overlapping tiles of the base size with random shifts, averaged.
* Global: every s-th value of the blurred x is an image of the base size; these are denoised and put back.
  Both are mixed by c2, the cosine above to the power of 1; the blur fades from sigma 0.8 to 0.01.

Departures: the stages of the table in place of every whole factor; the mix is of what the model predicts
and not of the sampler's next state; steps and sampler are the table's. The knob is the power of the skip
residual, 3 there.
"""

from dataclasses import replace
from typing import Any

import torch
from einops import rearrange
from freescale_pack.freescale_core.detail import weight_at
from freescale_pack.nodes.host.noise_level import timestep
from freescale_pack.nodes.patching.model import settings_of, with_settings
from kornia.filters import gaussian_blur2d
from torch import Tensor

from tools.bench.picture_quality.families.family import Family
from tools.bench.picture_quality.families.freescale import patched
from tools.bench.picture_quality.families.tiles import Denoise, batched, tile_mean
from tools.bench.picture_quality.painter import Painter, Shot

GLOBAL_POWER, BLUR_POWER = 1.0, 1.0
MOST_BLUR, LEAST_BLUR = 0.8, 0.01


def paint(painter: Painter, shot: Shot, power: float) -> Tensor:
    height, width = (side // 8 for side in reversed(shot.base))
    model = patched(painter.model, shot.base, power)
    model = with_settings(
        model, replace(settings_of(model), fusion=None, dilation=None)
    )  # The residual alone.
    model_sampling = model.get_model_object("model_sampling")
    rng = torch.Generator().manual_seed(shot.seed)

    def local_and_global(apply: Any, args: dict[str, Any]) -> Tensor:
        x, denoise = args["input"], batched(apply, args)
        t = timestep(model_sampling, float(args["timestep"].flatten()[0]))
        reach = max(1, min(height, width) // 4)
        shift = torch.randint(1 - reach, reach, (2,), generator=rng).tolist()
        local = tile_mean(denoise, x, height, width, (shift[0], shift[1]))
        strides = round(x.shape[2] / height), round(x.shape[3] / width)
        share = weight_at(t, GLOBAL_POWER)
        return share * dilated_grid(denoise, x, strides, blur_at(t)) + (1 - share) * local

    model.set_model_unet_function_wrapper(local_and_global)
    return painter.through_stages(shot, model, 0.0, told=shot.base)


def dilated_grid(denoise: Denoise, x: Tensor, strides: tuple[int, int], sigma: float) -> Tensor:
    """What the model makes of every s-th value of x, blurred first, put back into place."""
    rows, columns = strides
    whole = x[:, :, : x.shape[2] // rows * rows, : x.shape[3] // columns * columns]
    taps = 2 * max(rows, columns) - 1
    blurred = gaussian_blur2d(whole, (taps, taps), (sigma, sigma))
    blurred = blurred * (whole.std() / blurred.std())  # The model expects the noise level of x.
    grids = rearrange(blurred, "b c (h r) (w s) -> (r s b) c h w", r=rows, s=columns)
    out = x.clone()
    done = rearrange(denoise(grids), "(r s b) c h w -> b c (h r) (w s)", r=rows, s=columns)
    out[:, :, : done.shape[2], : done.shape[3]] = done
    return out


def blur_at(t: float) -> float:
    return LEAST_BLUR + (MOST_BLUR - LEAST_BLUR) * weight_at(t, BLUR_POWER)


FAMILIES = (Family("demofusion", "DemoFusion", "power", (1.0, 3.0), paint, at_4x=(3.0,)),)
