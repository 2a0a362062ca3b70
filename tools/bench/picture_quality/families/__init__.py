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
    hires_fix,
    ideas,
    scalecrafter,
    tiles,
    upscale_model,
)
from tools.bench.picture_quality.families.family import Family

OURS, REFERENCE = "freescale", "hires_fix"
"""What the page is about, and the curve that every point is held against."""
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
)
FAMILIES = {
    family.name: family for family in ALL if family.name != "upscale_model" or upscale_model.available()
}
