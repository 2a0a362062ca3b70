"""The one thing that a FreeScale patch stores on a MODEL: frozen settings, in the wrapper that applies them.

Everything else is installed per run on the guider's own copies and vanishes with the run.
"""

import dataclasses
from typing import Any

from comfy.patcher_extension import WrappersMP

from ...freescale_core.settings import FreeScaleSettings
from ..backbones.unet import require_text_width, require_unet
from ..host.types import Model
from .outer_sample import KEY, OuterSample


def settings_of(model: Model) -> FreeScaleSettings | None:
    """The settings a MODEL carries, or None."""
    wrappers = model.get_wrappers(WrappersMP.OUTER_SAMPLE, KEY)
    return wrappers[0].settings if wrappers else None


def with_settings(model: Model, settings: FreeScaleSettings) -> Model:
    """A clone of the MODEL that carries `settings` in place of any it had.

    Raises:
        ValueError: the MODEL has no UNet, or the prompt of a region is not for it.
    """
    require_unet(model)
    for region in settings.prompt_regions:
        require_text_width(model, region.context)
    patched = model.clone()
    patched.remove_wrappers_with_key(WrappersMP.OUTER_SAMPLE, KEY)
    patched.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, OuterSample(settings))
    return patched


def with_changes(model: Model, **parts: Any) -> Model:
    """A clone of the MODEL whose settings differ in `parts`; parts it does not have yet start as off."""
    current = settings_of(model) or FreeScaleSettings(fusion=None, dilation=None, detail=None)
    return with_settings(model, dataclasses.replace(current, **parts))
