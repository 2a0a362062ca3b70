"""The methods that are compared, a technique a file.

Each is written from its paper; what it leaves out is said in its file. To add one, write a file and name it
below.
"""

from tools.bench.picture_quality.families import (
    demofusion,
    direct,
    enlarged,
    fouriscale,
    freescale,
    freeu,
    hires_fix,
    ideas,
    scalecrafter,
    tiles,
    true_images,
    upscale_model,
)
from tools.bench.picture_quality.families.family import Family

OURS, REFERENCE = "freescale", "hires_fix"
"""What the page is about, and the curve that every point is held against."""
TOLD, KSAMPLER, ONE_JUMP = "hires_fix_told", "hires_fix_ksampler", "hires_fix_one_jump"
RELATIVES = (TOLD, KSAMPLER, ONE_JUMP)
"""Of the reference: the same method as fair as it can be made, or as ComfyUI's simplest node does it."""
TILES = "tiles"
ALL: tuple[Family, ...] = (
    *hires_fix.FAMILIES,
    *freescale.FAMILIES,
    *enlarged.FAMILIES,
    *direct.FAMILIES,
    *tiles.FAMILIES,
    *demofusion.FAMILIES,
    *scalecrafter.FAMILIES,
    *fouriscale.FAMILIES,
    *ideas.IDEAS,
    *freeu.FAMILIES,
    *true_images.FAMILIES,
)
MISSING = {
    name
    for name, file in {"upscale_model": upscale_model, "true_images": true_images}.items()
    if not file.available()
}
FAMILIES = {family.name: family for family in ALL if family.name not in MISSING}
