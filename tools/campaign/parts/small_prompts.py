"""The templates as programs send them, on the demo model, small enough for a second or two each."""

import copy
import json
import random
from functools import cache

from tools.harness import workflow
from tools.harness.comfy_client import Prompt
from tools.harness.demo_prompts import for_demo_model

SIDE, STEPS = 64, 2
"""Pixels of the base image, and steps. Nobody looks at these images."""
LEFT_OUT = ("ControlNet", "VideoCrafter2", "SVD", "FLUX", "Z-Image", "Qwen", "Wan", "8k")
"""In the names of templates that need another model than the demo model, or too long."""


@cache
def templates() -> dict[str, Prompt]:
    """Name of a template -> its prompt as it is kept."""
    return {
        file.stem: workflow.without_newer_widgets(json.loads(file.read_text(encoding="utf-8")))
        for file in sorted(workflow.API_PROMPTS.glob("*.json"))
        if not any(word in file.stem for word in LEFT_OUT)
    }


def small_prompt(draw: random.Random) -> tuple[str, Prompt]:
    """Name and prompt of a template with a seed of its own, so that the server runs it anew."""
    name = draw.choice(sorted(templates()))
    prompt = for_demo_model(templates()[name], steps=STEPS, seed=draw.randrange(2**32), base_side=SIDE)
    return name, prompt


def with_half_a_base(prompt: Prompt) -> Prompt:
    """A prompt that FreeScale Model Patch refuses in one sentence once it runs."""
    prompt = copy.deepcopy(prompt)
    for node in prompt.values():
        if node["class_type"] == "FreeScaleModelPatch":
            node["inputs"] |= {"base_width": SIDE, "base_height": 0}
    return prompt


def with_failing_model(prompt: Prompt) -> Prompt:
    """A prompt whose patched models raise an error of their own when they are called."""
    prompt = copy.deepcopy(prompt)
    for name, node in list(prompt.items()):
        if node["class_type"] == "FreeScaleModelPatch":
            inputs = {"model": node["inputs"]["model"]}
            prompt[f"failing {name}"] = {"class_type": "CampaignFailingModel", "inputs": inputs}
            node["inputs"]["model"] = [f"failing {name}", 0]
    return prompt
