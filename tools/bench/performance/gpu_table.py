"""Which stage fits a GPU, by the memory model: an estimate."""

from typing import Any

from freescale_pack.freescale_core.planning.cost import RESERVE_GIB
from freescale_pack.nodes.cascade.vae import PIXEL_BYTES, tile_side

GPUS_GIB = (8, 12, 16, 24, 32, 48, 80)
WITH_FREEU = "exact, with FreeU"
"""What the templates do."""


def gpu_rows(calls: list[dict[str, Any]], weights: int) -> list[dict[str, Any]]:
    """The largest SDXL call that fits beside the weights, for each GPU.

    The call is exact, with FreeU, and of cond or uncond alone, as ComfyUI does it when memory is short.
    """
    largest = [row for row in calls if row["model"] == "SDXL" and row["variant"] == WITH_FREEU]
    rows = []
    for gib in GPUS_GIB:
        room = (gib - RESERVE_GIB) * 2**30 - weights
        fits = [row["size"] for row in largest if row["batch"]["1"] <= room]
        rows.append(
            {
                "gib": gib,
                "fits": fits[-1] if fits else None,
                "tile": tile_side(lambda side: PIXEL_BYTES * side**2, gib * 2**30),
            }
        )
    return rows
