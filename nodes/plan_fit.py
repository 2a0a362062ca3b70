"""Says whether a plan fits the graphics card of this server, in one sentence."""

from typing import NamedTuple

import torch
from comfy import model_management

from ..freescale_core.geometry import Size
from ..freescale_core.planning.cost import GIB, RESERVE_GIB, WEIGHTS_GIB, unet_gib, vae_gib
from ..freescale_core.planning.kinds import TRANSFORMERS
from ..freescale_core.planning.plan import CascadePlan
from .cascade.vae import planned_tile
from .plan_texts import Say, saying

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


def fit_line(plan: CascadePlan, card: Card, say: Say | None = None) -> str:
    """One sentence on an image or a video of SDXL: the card, whether the last stage fits, how the VAE goes.

    Of a transformer it says that this is not known. say: of `plan_texts.saying`; None = English.
    """
    say = say or saying()
    if plan.kind in TRANSFORMERS:
        return say("fitUnknown", kind=plan.kind)
    if card.name is None:
        return say("fitCpu")
    last, room = plan.stages[-1], card.total_gib - RESERVE_GIB
    tile = planned_tile(last, plan.tiling, card.total_gib * GIB)
    vae = say("vaeWhole") if tile is None else say("vaeTiles", tile=tile)
    if vae_gib_as_used(plan, last, card) > room:
        vae = say("vaeTooLarge")
    fits = {"card": card.name, "gib": f"{card.total_gib:.0f}", "vae": vae}
    unet = _unet(last, plan.frames, room, say)
    if plan.frames > 1:
        return say("fitFrames", frames=plan.frames, unet=unet, **fits)
    return say("fit", unet=unet, **fits)


def _unet(size: Size, frames: int, room_gib: float, say: Say) -> str:
    whole = unet_gib(size, frames)
    half = (whole - WEIGHTS_GIB) / 2
    if whole <= room_gib:
        return say("fits", size=size)
    # ComfyUI calls cond and uncond apart where both do not fit at once, and then moves weights out of the
    # way.
    if WEIGHTS_GIB + half <= room_gib:
        return say("fitsApart", size=size)
    if half <= SAFE_SHARE * room_gib:
        return say("fitsPartly", size=size)
    if half <= room_gib:
        return say("fitsPerhaps", size=size)
    return say("fitsNot", size=size, gib=f"{half:.0f}")
