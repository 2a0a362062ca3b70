"""Which of the core's presets fits a MODEL."""

import logging
from typing import Any

import comfy.model_base

from ..freescale_core.presets import PRESETS
from ..freescale_core.settings import FreeScaleSettings

log = logging.getLogger("FreeScale")
SD15_CONTEXT = 768
AUTO = "Auto"
CUSTOM = "Custom"
PRESET_NAMES = [AUTO, *PRESETS, CUSTOM]


def auto_preset(model: Any) -> FreeScaleSettings:
    """SDXL for models of SDXL's kind, SD1.5 for other UNets. Turbo and few-step models look like SDXL: choose their preset by hand."""
    if isinstance(model.model, comfy.model_base.SDXL | comfy.model_base.SDXLRefiner):
        return PRESETS["SDXL"]
    if model.model.model_config.unet_config.get("context_dim") != SD15_CONTEXT:
        log.warning("FreeScale: preset Auto does not know this model and takes SD1.5's base size 512: set the base size by hand.")
    return PRESETS["SD1.5"]
