"""Named settings as data: for the model families that FreeScale was made for, and for three speeds."""

import dataclasses
from dataclasses import dataclass, field

from .settings import FreeScaleSettings, FusionSettings

STEPS = 50
"""Steps of stage 0 in the authors' code."""
SCHEDULER = "ddim_uniform"
"""Their scheduler, by ComfyUI's name."""
FEW_STEP = FreeScaleSettings(restart=0.5, restart_range=(400.0, 800.0))

PRESETS = {
    "SDXL": FreeScaleSettings(),
    "SDXL-Turbo": dataclasses.replace(FEW_STEP, base_side=512),
    "SDXL few-step (Lightning, DMD2)": FEW_STEP,
    "SD1.5": FreeScaleSettings(base_side=512),
    "VideoCrafter2": FreeScaleSettings(base_side=405, method="latent bicubic"),
    "SVD": FreeScaleSettings(base_side=768, restart_range=(450.0, 800.0)),
}
"""405^2 is the area of 512 x 320, 768^2 that of 1024 x 576. SVD's steps lie far apart there."""


@dataclass(frozen=True)
class Speed:
    """How the work of the stages above the base is cut down."""

    fusion: FusionSettings = field(default_factory=FusionSettings)
    max_later_steps: int | None = None


SPEEDS = {
    "Exact": Speed(),
    "Balanced": Speed(FusionSettings(mode="fast")),
    "Fast": Speed(FusionSettings(mode="fast", local="neighbourhoods"), max_later_steps=15),
}
"""Exact equals the authors' code.

What the others cost and what they do to the images: docs/PERFORMANCE.md, docs/QUALITY.md.
"""
