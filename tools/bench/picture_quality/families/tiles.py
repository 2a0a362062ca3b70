"""MultiDiffusion (arXiv 2302.08113) over an enlarged image: overlapping tiles of the base size, averaged
each step.

It is what TiledDiffusion does, and what Ultimate SD Upscale does tile after tile, at the same denoise as
hires-fix.

Departures: the overlap is half a tile (theirs are smaller: fewer calls, more seams); every tile is told the
base size and gets the whole prompt. The knob is the restart.
"""

from collections.abc import Callable
from typing import Any

import torch
from freescale_pack.freescale_core.geometry import Size, to_cells
from torch import Tensor

from tools.bench.picture_quality.families.family import Family
from tools.bench.picture_quality.painter import Painter, Pixels, Shot

TILES_AT_ONCE = 16
Place = tuple[slice, slice]
"""Rows and columns of a tile."""
Denoise = Callable[..., Tensor]
"""(n * b, c, h, w) -> the same shape: n tiles one after the other, each a whole batch."""


def paint(painter: Painter, shot: Shot, restart: float) -> Tensor:
    model = painter.model.clone()
    model.set_model_unet_function_wrapper(lambda apply, args: in_tiles(apply, args, shot.base))
    return painter.through_stages(shot, model, restart, told=shot.base)


def in_tiles(apply: Any, args: dict[str, Any], base: Pixels) -> Tensor:
    """The model call of `args`, in tiles of the base size."""
    denoise = batched(apply, args)
    cells = to_cells(Size(base[1], base[0]))
    return tile_mean(lambda tiles, places: denoise(tiles), args["input"], *cells)


def tile_mean(
    denoise: Callable[[Tensor, list[Place]], Tensor],
    x: Tensor,
    height: int,
    width: int,
    shift: tuple[int, int] = (0, 0),
) -> Tensor:
    """Mean, place by place, of what overlapping tiles of (height, width) give.

    denoise: of tiles one after the other, and where they lie. shift: of the inner corners.
    """
    total, count = torch.zeros_like(x), torch.zeros_like(x[:1, :1])
    places = [
        (slice(top, top + height), slice(left, left + width))
        for top in corners(x.shape[2], height, shift[0])
        for left in corners(x.shape[3], width, shift[1])
    ]
    for start in range(0, len(places), TILES_AT_ONCE):
        some = places[start : start + TILES_AT_ONCE]
        done = denoise(torch.cat([x[:, :, rows, columns] for rows, columns in some]), some)
        for (rows, columns), tile in zip(some, done.split(len(x)), strict=True):
            total[:, :, rows, columns] += tile
            count[:, :, rows, columns] += 1
    return total / count


def corners(length: int, window: int, shift: int = 0) -> list[int]:
    """Where windows with half a window between them begin, so that the last one ends with the side."""
    last = max(0, length - window)
    inner = (corner + shift for corner in range(window // 2, last, window // 2))
    return sorted({0, last, *(min(max(corner, 0), last) for corner in inner)})


def batched(apply: Any, args: dict[str, Any]) -> Denoise:
    """The model call of `args` for several tiles at once: what belongs to a batch entry is repeated.

    It takes conditioning of the tiles' own by name.
    """
    batch = len(args["input"])

    def repeated(value: Any, times: int) -> Any:
        if isinstance(value, Tensor) and len(value) == batch:
            return torch.cat([value] * times)
        return value

    def denoise(tiles: Tensor, **own: Tensor) -> Tensor:
        times = len(tiles) // batch
        values = {key: repeated(value, times) for key, value in args["c"].items()}
        return apply(tiles, repeated(args["timestep"], times), **(values | own))

    return denoise


FAMILIES = (
    Family(
        "tiles",
        "tiles (MultiDiffusion)",
        "restart",
        (0.3, 0.5, 0.7, 0.8),
        paint,
        "hires-fix whose model sees overlapping tiles of the base size, averaged in each step, as "
        "TiledDiffusion does. Tiles overlap by half, and each gets the whole prompt and is told the base "
        "size; Ultimate SD Upscale goes tile after tile.",
        at_4x=(0.5, 0.7),
    ),
)
