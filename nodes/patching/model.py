"""The one thing that a FreeScale patch stores on a MODEL: frozen settings, in the wrapper that applies them.

Everything else is installed per run on the guider's own copies and vanishes with the run.
"""

import dataclasses
from typing import Any

from comfy.patcher_extension import WrappersMP

from ...freescale_core.settings import FreeScaleSettings
from ..backbones.backbone import backbone_of, require_unet
from ..backbones.unet import require_text_width
from ..host.types import Model
from .outer_sample import KEY, OuterSample
from .rope import require_rope

UNET_PARTS = {
    "fusion": "FreeScale Scale Fusion",
    "dilation": "FreeScale Dilated Conv",
    "prompt_regions": "FreeScale Prompt Region",
}
"""Parts of the settings that only a UNet can take -> their nodes."""


def settings_of(model: Model) -> FreeScaleSettings | None:
    """The settings a MODEL carries, or None."""
    wrappers = model.get_wrappers(WrappersMP.OUTER_SAMPLE, KEY)
    return wrappers[0].settings if wrappers else None


def with_settings(model: Model, settings: FreeScaleSettings) -> Model:
    """A clone of the MODEL that carries `settings` in place of any it had.

    Raises:
        ValueError: the MODEL's network cannot take a part of the settings, or the prompt of a region is not
            for it.
    """
    _expect_parts(model, settings)
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


def _expect_parts(model: Model, settings: FreeScaleSettings) -> None:
    """Raise ValueError unless the MODEL's network can take each part that is on."""
    if not backbone_of(model).is_unet:
        for part, name in UNET_PARTS.items():
            if getattr(settings, part):
                require_unet(model, name)
    if settings.rope is not None or settings.neighbourhoods:
        require_rope(model)
