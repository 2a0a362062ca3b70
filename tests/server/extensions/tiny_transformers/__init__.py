"""ComfyUI extension that makes the stock Load Diffusion Model take the files of make_tiny_transformers.py.

ComfyUI reads a network's config from its weights, and takes for granted what all published models have in
common, such as 24 heads. These files carry their config.
"""

import json
from typing import Any

import comfy.model_detection
import comfy.supported_models

CONFIG = "freescale_tiny_config"
"""Entry of a state dict: the network's config as JSON, in bytes."""

_detect = comfy.model_detection.detect_unet_config


def detect_unet_config(state_dict: dict[str, Any], key_prefix: str, *args: Any, **kwargs: Any) -> Any:
    """ComfyUI's function of that name, but for the tiny files."""
    config = state_dict.pop(key_prefix + CONFIG, None)
    if config is None:
        return _detect(state_dict, key_prefix, *args, **kwargs)
    return json.loads(bytes(config.tolist()))


class TinyZImage(comfy.supported_models.ZImage):
    """ComfyUI knows a Z-Image by its width."""

    unet_config = {**comfy.supported_models.ZImage.unet_config, "dim": 256}


comfy.model_detection.detect_unet_config = detect_unet_config
comfy.supported_models.models.append(TinyZImage)

NODE_CLASS_MAPPINGS: dict[str, type] = {}
"""No nodes of its own; ComfyUI asks for this name to accept the folder as an extension."""
