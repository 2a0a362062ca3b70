"""Says whether a plan fits the graphics card of this server, in one sentence."""

from typing import NamedTuple

import torch
from comfy import model_management

from ..freescale_core.geometry import Size
from ..freescale_core.planning.cost import GIB, RESERVE_GIB, WEIGHTS_GIB, unet_gib, vae_gib
from ..freescale_core.planning.plan import CascadePlan
from .cascade.vae import planned_tile

SAFE_SHARE = 0.5
"""Of the memory without the reserve.

Measured on an H100 with less memory free: 4096 px with 12 GB, 8192 px with 24 GB.
"""


class Card(NamedTuple):
    """The device that ComfyUI samples on. name: None for a server without a GPU whose memory is known."""

    name: str | None
    total_gib: float

    @classmethod
    def of_this_server(cls) -> "Card":
        device = model_management.get_torch_device()
        total = model_management.get_total_memory(device) / GIB
        if device.type in ("cpu", "privateuseone"):  # DirectML tells no memory.
            return cls(None, total)
        return cls(
            torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper(), total
        )


def vae_gib_as_used(plan: CascadePlan, size: Size, card: Card) -> float:
    """GPU memory of the VAE for one stage, in tiles where the cascade takes tiles."""
    tile = planned_tile(size, plan.tiling, card.total_gib * GIB)
    return vae_gib(size if tile is None else Size(tile, tile))


def fit_line(plan: CascadePlan, card: Card) -> str:
    """One sentence on one image of SDXL: the card, whether the last stage fits, and how the VAE goes."""
    if card.name is None:
        return "This server samples on a CPU: take the cost as a guide, and the memory as that of a GPU."
    last, room = plan.stages[-1], card.total_gib - RESERVE_GIB
    tile = planned_tile(last, plan.tiling, card.total_gib * GIB)
    vae = "the VAE in one piece" if tile is None else f"the VAE in tiles of {tile} px"
    if vae_gib_as_used(plan, last, card) > room:
        vae = "the VAE does not fit in one piece: set tiling to auto"
    return f"{card.name}, {card.total_gib:.0f} GiB, one image of SDXL: {_unet(last, room)}; {vae}."


def _unet(size: Size, room_gib: float) -> str:
    whole = unet_gib(size)
    half = (whole - WEIGHTS_GIB) / 2
    if whole <= room_gib:
        return f"{size} fits"
    # ComfyUI calls cond and uncond apart where both do not fit at once, and then moves weights out of the
    # way.
    if WEIGHTS_GIB + half <= room_gib:
        return f"{size} fits with cond and uncond apart"
    if half <= SAFE_SHARE * room_gib:
        return f"{size} fits with a part of the model in system memory, which takes longer"
    if half <= room_gib:
        return f"{size} may fit, nobody has measured it: speed Fast needs least"
    return f"{size} does not fit (about {half:.0f} GiB beside the model): choose a smaller target"
