"""Which of the core's presets fits a MODEL."""

from typing import Any

import comfy.model_base

from ..freescale_core.presets import PRESETS
from ..freescale_core.settings import FreeScaleSettings

AUTO = "Auto"
CUSTOM = "Custom"
PRESET_NAMES = [AUTO, *PRESETS, CUSTOM]


def auto_preset(model: Any) -> FreeScaleSettings:
    """SDXL for models of SDXL's kind, SD1.5 for other UNets. Turbo and few-step models look like SDXL: choose their preset by hand."""
    return PRESETS["SDXL" if isinstance(model.model, comfy.model_base.SDXL) else "SD1.5"]
