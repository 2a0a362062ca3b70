"""Says whether a plan fits the graphics card of this server, in one sentence."""

from typing import NamedTuple

import torch
from comfy import model_management

from ..freescale_core.geometry import Size
from ..freescale_core.planning.cost import GIB, RESERVE_GIB, WEIGHTS_GIB, unet_gib, vae_gib
from ..freescale_core.planning.plan import CascadePlan
from .cascade.vae import planned_tile


class Card(NamedTuple):
    """The device that ComfyUI samples on. name: None for a server without a GPU."""

    name: str | None
    total_gib: float

    @classmethod
    def of_this_server(cls) -> "Card":
        device = model_management.get_torch_device()
        total = model_management.get_total_memory(device) / GIB
        if device.type == "cpu":
            return cls(None, total)
        return cls(
            torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper(), total
        )


def vae_gib_as_used(plan: CascadePlan, size: Size, card: Card) -> float:
    """GPU memory of the VAE for one stage, in tiles where the cascade takes tiles."""
    tile = planned_tile(size, plan.tiling, card.total_gib * GIB)
    return vae_gib(size if tile is None else Size(tile, tile))


def fit_line(plan: CascadePlan, card: Card) -> str:
    """One sentence: the card, whether the UNet fits at the last stage, and how the VAE goes; or what to
    do."""
    if card.name is None:
        return "This server samples on a CPU: take the cost as a guide, and the memory as that of a GPU."
    last = plan.stages[-1]
    tile = planned_tile(last, plan.tiling, card.total_gib * GIB)
    vae = "the VAE in one piece" if tile is None else f"the VAE in tiles of {tile} px"
    return f"{card.name}, {card.total_gib:.0f} GiB: {_unet(last, card.total_gib - RESERVE_GIB)}; {vae}."


def _unet(size: Size, room_gib: float) -> str:
    activations = unet_gib(size) - WEIGHTS_GIB
    if unet_gib(size) <= room_gib:
        return f"{size} fits"
    if activations / 2 <= room_gib:  # ComfyUI calls cond and uncond apart, and moves weights out of the way.
        return f"{size} fits with a part of the model in system memory, which takes longer"
    return f"{size} does not fit (about {activations / 2:.0f} GiB beside the model): choose a smaller target"
