"""Named settings for the model families FreeScale was made for, as data."""

from .settings import FreeScaleSettings

PRESETS = {
    "SDXL": FreeScaleSettings(base_side=1024, restart=0.3),
    "SDXL-Turbo": FreeScaleSettings(base_side=512, restart=0.5, restart_range=(400.0, 800.0)),
    "SDXL few-step (Lightning, DMD2)": FreeScaleSettings(base_side=1024, restart=0.5, restart_range=(400.0, 800.0)),
    "SD1.5": FreeScaleSettings(base_side=512, restart=0.3),
}
