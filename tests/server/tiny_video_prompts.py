"""Prompts for VideoCrafter2 and Stable Video Diffusion on small models of random weights."""

import copy
from typing import Any

from tools.harness.comfy_client import Prompt
from tools.harness.demo_prompts import CHECKPOINT

VIDEOCRAFTER, SVD = "tiny_random_videocrafter2.safetensors", "tiny_random_svd.safetensors"
STEPS, FRAMES = 4, 3
TRAINED = {VIDEOCRAFTER: (512, 320), SVD: (1024, 576)}
SHRUNK = {VIDEOCRAFTER: 4, SVD: 8}
"""All sizes are divided by it."""
LOADERS = {"FreeScaleVideoCrafterLoader": VIDEOCRAFTER, "ImageOnlyCheckpointLoader": SVD}
TEXT_LOADER = "demo"
"""The added node whose text encoder takes the place of VideoCrafter2's, for which no small one exists."""


def for_tiny_videos(prompt: Prompt) -> Prompt:
    """A copy of a prompt for the published models that runs on the small ones.

    Sizes, frames and steps become small, start_at_step in proportion. The base size of FreeScale Model Patch
    is the small model's, and text is encoded by the demo model.
    """
    prompt = copy.deepcopy(prompt)
    (model,) = {LOADERS[node["class_type"]] for node in prompt.values() if node["class_type"] in LOADERS}
    for node in prompt.values():
        node["inputs"].update(_changed(node, model))
        if node["class_type"] == "CLIPTextEncode":
            node["inputs"]["clip"] = [TEXT_LOADER, 1]
    if model == VIDEOCRAFTER:
        loader = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": CHECKPOINT}}
        prompt[TEXT_LOADER] = loader
    return prompt


def _changed(node: dict[str, Any], model: str) -> dict[str, Any]:
    inputs = node["inputs"]
    width, height = (side // SHRUNK[model] for side in TRAINED[model])
    fewer = {"steps": STEPS, "frames": FRAMES, "video_frames": FRAMES}
    new: dict[str, Any] = {
        name: inputs[name] // SHRUNK[model] for name in ("width", "height") if name in inputs
    }
    new |= {name: min(inputs[name], most) for name, most in fewer.items() if name in inputs}
    if "start_at_step" in inputs:
        new["start_at_step"] = inputs["start_at_step"] * new["steps"] // inputs["steps"]
    if "base_width" in inputs:
        new |= {"base_width": width, "base_height": height}
    return new | ({"ckpt_name": model} if "ckpt_name" in inputs else {})
