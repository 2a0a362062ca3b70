"""DemoFusion (arXiv 2311.16973): whole schedule at each size, held by a skip residual; tiles and a dilated
grid.

* Skip residual: before each step x <- c x' + (1 - c) x with x' the noised enlargement of the size before, and
  c = ((1 + cos(pi (T - t) / T)) / 2)^alpha, the formula that FreeScale took over as its eq. 4.
* Local: overlapping tiles of the base size with random shifts, averaged; each is told its place in the whole.
* Global: every s-th value of x is an image of the base size; the noise in it is read from the blurred x.
  Both are mixed by c2, the cosine above to the power of 1; the blur fades from sigma 0.8 to 0.01.
* A finished stage gets the mean and spread of the base latent.

Departures: the stages of the table in place of every whole factor, enlarged as for all methods here; the
mix is of what the model predicts and not of the sampler's next state; the base size is told as the target
of tiles and grids; tiles are shifted by up to a quarter of their side (an eighth there); steps and sampler
are the table's. The knob is the power of the skip residual, 3 there.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from einops import rearrange
from freescale_pack.freescale_core.detail import weight_at
from freescale_pack.freescale_core.geometry import LATENT_CELL, Size, to_cells
from freescale_pack.nodes.host.noise_level import timestep
from kornia.filters import gaussian_blur2d
from torch import Tensor

from tools.bench.picture_quality.families.family import Family
from tools.bench.picture_quality.families.freescale import hold_alone, patched
from tools.bench.picture_quality.families.tiles import Denoise, Place, batched, tile_mean
from tools.bench.picture_quality.painter import Painter, Pixels, Shot

GLOBAL_POWER, BLUR_POWER = 1.0, 1.0
MOST_BLUR, LEAST_BLUR = 0.8, 0.01


def paint(painter: Painter, shot: Shot, power: float) -> Tensor:
    model = patched(painter.model, shot.base, power, change=hold_alone)
    rng = torch.Generator().manual_seed(shot.seed)
    model.set_model_unet_function_wrapper(local_and_global(model, shot.base, rng))
    latent = shot.latent
    for r, size in enumerate(shot.stages, start=1):
        start = painter.enlarged(latent, size)
        latent = painter.sampled(model, shot.text, shot.seed + r, start, told=shot.base)
        latent = {"samples": spread_as(latent["samples"], shot.latent["samples"])}
    return painter.decoded(latent)


def local_and_global(model: Any, base: Pixels, rng: torch.Generator) -> Callable[..., Tensor]:
    """A function for the UNet's call of ComfyUI."""
    model_sampling = model.get_model_object("model_sampling")
    height, width = to_cells(Size(base[1], base[0]))

    def wrapper(apply: Any, args: dict[str, Any]) -> Tensor:
        x, denoise = args["input"], batched(apply, args)
        t = timestep(model_sampling, float(args["timestep"].flatten()[0]))

        def at_places(tiles: Tensor, places: list[Place]) -> Tensor:
            if "y" not in args["c"]:  # Only SDXL is told sizes.
                return denoise(tiles)
            embed = model.model.embedder
            return denoise(tiles, y=told_places(args["c"]["y"], places, x.shape[2:], base, embed))

        reach = max(1, min(height, width) // 4)
        shift = torch.randint(1 - reach, reach, (2,), generator=rng).tolist()
        local = tile_mean(at_places, x, height, width, (shift[0], shift[1]))
        strides = round(x.shape[2] / height), round(x.shape[3] / width)
        share = weight_at(t, GLOBAL_POWER)
        return share * dilated_grid(denoise, x, strides, blur_at(t)) + (1 - share) * local

    return wrapper


def told_places(y: Tensor, places: list[Place], whole: Sequence[int], base: Pixels, embed: Any) -> Tensor:
    """SDXL's conditioning vector y (b, n) for tiles one after the other.

    Its last six numbers say of what size the whole is, where the tile begins in it, and of what size the
    tile is: each height first. whole: in latent cells.
    """
    told = []
    for rows, columns in places:
        numbers = (*whole, rows.start, columns.start)
        sizes = [*(LATENT_CELL * number for number in numbers), base[1], base[0]]
        embedded = torch.cat([embed(torch.tensor([float(size)])) for size in sizes], dim=1).to(y)
        told.append(torch.cat([y[:, : -embedded.shape[1]], embedded.expand(len(y), -1)], dim=1))
    return torch.cat(told)


def spread_as(latent: Tensor, base: Tensor) -> Tensor:
    return (latent - latent.mean()) / latent.std() * base.std() + base.mean()


def dilated_grid(denoise: Denoise, x: Tensor, strides: tuple[int, int], sigma: float) -> Tensor:
    """x without the noise that the model finds in every s-th value of it, blurred first."""
    rows, columns = strides
    whole = x[:, :, : x.shape[2] // rows * rows, : x.shape[3] // columns * columns]
    taps = 2 * max(rows, columns) - 1
    blurred = gaussian_blur2d(whole, (taps, taps), (sigma, sigma))
    blurred = blurred * (whole.std() / blurred.std())  # The model expects the noise level of x.
    grids = rearrange(blurred, "b c (h r) (w s) -> (r s b) c h w", r=rows, s=columns)
    out = x.clone()
    done = rearrange(denoise(grids), "(r s b) c h w -> b c (h r) (w s)", r=rows, s=columns)
    out[:, :, : done.shape[2], : done.shape[3]] -= blurred - done
    return out


def blur_at(t: float) -> float:
    return LEAST_BLUR + (MOST_BLUR - LEAST_BLUR) * weight_at(t, BLUR_POWER)


FAMILIES = (
    Family(
        "demofusion",
        "DemoFusion",
        "power",
        (1.0, 3.0),
        paint,
        "the whole schedule at each size, held to the enlarged image by the formula of eq. 4, with shifted "
        "tiles and a dilated grid; its release has power 3. Departures: two stages at 4x in place of "
        "three, tiles shifted by up to 1/4 of their side in place of 1/8, Euler in place of DDIM.",
        at_4x=(3.0,),
    ),
)
