"""Named settings, as data: for the model families FreeScale was made for, and for how fast it shall be."""

from dataclasses import dataclass, field

from .settings import FreeScaleSettings, FusionSettings

PRESETS = {
    "SDXL": FreeScaleSettings(base_side=1024, restart=0.3),
    "SDXL-Turbo": FreeScaleSettings(base_side=512, restart=0.5, restart_range=(400.0, 800.0)),
    "SDXL few-step (Lightning, DMD2)": FreeScaleSettings(base_side=1024, restart=0.5, restart_range=(400.0, 800.0)),
    "SD1.5": FreeScaleSettings(base_side=512, restart=0.3),
}


@dataclass(frozen=True)
class Speed:
    """How the work of the stages above the base is cut down."""

    fusion: FusionSettings = field(default_factory=FusionSettings)
    most_later_steps: int | None = None


SPEEDS = {
    "Exact": Speed(),
    "Balanced": Speed(FusionSettings(mode="fast")),
    "Fast": Speed(FusionSettings(mode="fast", local="neighbourhoods"), most_later_steps=15),
}
"""Exact equals the authors' code. What the others cost and what they do to the pictures: docs/PERFORMANCE.md, docs/QUALITY.md."""
