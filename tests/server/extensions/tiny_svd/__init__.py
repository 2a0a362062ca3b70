"""ComfyUI extension that makes Image Only Checkpoint Loader take a small Stable Video Diffusion.

It adds an entry to ComfyUI's list of known models, and a small CLIP vision model for it.
"""

from pathlib import Path
from typing import Any

import comfy.clip_vision
import comfy.supported_models

CONTEXT_WIDTH = 64
"""The projection_dim of clip_vision.json."""
VISION_CONFIG = str(Path(__file__).with_name("clip_vision.json"))


class TinySVD(comfy.supported_models.SVD_img2vid):
    """Stable Video Diffusion in small: the published layers, narrower."""

    unet_config = comfy.supported_models.SVD_img2vid.unet_config | {
        "model_channels": 32,
        "context_dim": CONTEXT_WIDTH,
    }
    unet_extra_config = comfy.supported_models.SVD_img2vid.unet_extra_config | {"num_head_channels": 8}
    clip_vision_prefix = "conditioner.embedders.0.tiny."


def vision_model(weights: dict[str, Any]) -> comfy.clip_vision.ClipVisionModel:
    """The small CLIP vision model."""
    model = comfy.clip_vision.ClipVisionModel(VISION_CONFIG)
    missing, unexpected = model.load_sd(weights)
    assert not missing and not unexpected, (missing, unexpected)
    return model


def register() -> None:
    """Make ComfyUI know both, once."""
    if any(model.__name__ == TinySVD.__name__ for model in comfy.supported_models.models):
        return
    comfy.supported_models.models.append(TinySVD)
    real, prefix = comfy.clip_vision.load_clipvision_from_sd, TinySVD.clip_vision_prefix

    def load(sd: dict[str, Any], given: str = "", convert_keys: bool = False) -> Any:
        if given != prefix:
            return real(sd, given, convert_keys)
        return vision_model({name.removeprefix(prefix): sd.pop(name) for name in list(sd) if prefix in name})

    comfy.clip_vision.load_clipvision_from_sd = load


register()

NODE_CLASS_MAPPINGS: dict[str, type] = {}
"""No nodes of its own; ComfyUI asks for this name to accept the folder as an extension."""
