"""The same workflows on the demo model: what of a prompt for SDXL has to change, and nothing else."""

import copy
from typing import Any

from tools.harness.comfy_client import Prompt

CHECKPOINT = "tiny_sdxl.safetensors"
CONTROL_NET = "tiny_random_control_net.safetensors"
"""Written by tests/server/make_tiny_control_net.py: no ControlNet was trained for this model."""
BASE_SIDE = 256
SDXL_SIDE = 1024
CFG = 3.0
ALPHA = 0.5
SDXL_ALPHA = 2.0
NEUTRAL_FREEU = {"b1": 1.0, "b2": 1.0, "s1": 1.0, "s2": 1.0}
SIDES = (
    "width",
    "height",
    "base_width",
    "base_height",
    "window_width",
    "window_height",
    "largest_size",
    "x",
    "y",
)
"""Inputs that are sizes or places in pixels of a picture, in any node."""
LOADERS = {"UNETLoader": 0, "CLIPLoader": 1, "DualCLIPLoader": 1, "VAELoader": 2}
"""Loaders of a single part of a model -> the output of Load Checkpoint that gives it."""
BASE_SIDES = ("base_width", "base_height")
SEEDS = ("seed", "noise_seed")


def for_demo_model(
    prompt: Prompt,
    *,
    steps: int,
    text: str | None = None,
    region_text: str | None = None,
    seed: int | None = None,
    base_side: int = BASE_SIDE,
) -> Prompt:
    """A copy of a prompt made for SDXL that runs on the demo model. Values that come from another node stay.

    * Checkpoint: CHECKPOINT, in place of LOADERS, too; ControlNet: CONTROL_NET.
    * Sizes (SIDES): 1024 -> base_side in proportion. 0 stays 0 (automatic), but a base size of 0 becomes
    base_side. The target
      of a plan in megapixels likewise.
    * cfg: 3 and alpha: 0.5, which this model needs. The alphas of detail regions, which differ on purpose,
    shrink in proportion (2 -> 0.5).
    * steps and later_steps: at most `steps`; start_at_step in proportion.
    * FreeU: all factors 1, those for SDXL deface its pictures.
    * Text: of every positive prompt and of every prompt region, if given; the negative one is emptied, for
    the model knows no such words.
    * Seeds, if given: the smallest becomes `seed`, the others keep their distance from it.

    The rest stays. base_side: the training size, or less for a quick run without quality.
    """
    prompt = _with_one_checkpoint(prompt)
    shift = 0 if seed is None else seed - _smallest_seed(prompt)
    for node in prompt.values():
        own = {name: value for name, value in node["inputs"].items() if not isinstance(value, list)}
        node["inputs"].update(
            _fixed(node["class_type"], own) | _sizes(own, base_side) | _steps(own, steps) | _seeds(own, shift)
        )
    _set_text(prompt, "negative", "")
    if text is not None:
        _set_text(prompt, "positive", text)
    if region_text is not None:
        _set_text(prompt, "conditioning", region_text)
    return prompt


def _with_one_checkpoint(prompt: Prompt) -> Prompt:
    """A copy in which every loader of a part of a model is a Load Checkpoint."""
    prompt = copy.deepcopy(prompt)
    parts = {
        node: LOADERS[values["class_type"]]
        for node, values in prompt.items()
        if values["class_type"] in LOADERS
    }
    for node in parts:
        prompt[node] |= {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": CHECKPOINT}}
    for node in prompt.values():
        for name, value in node["inputs"].items():
            if isinstance(value, list) and value[0] in parts:
                node["inputs"][name] = [value[0], parts[value[0]]]
    return prompt


def _fixed(class_type: str, inputs: dict[str, Any]) -> dict[str, Any]:
    known: dict[str, Any] = {
        "ckpt_name": CHECKPOINT,
        "control_net_name": CONTROL_NET,
        "cfg": CFG,
        "alpha": ALPHA,
    }
    if class_type == "FreeU":
        known = NEUTRAL_FREEU
    elif class_type == "FreeScaleDetailRegion":
        known = {"alpha": inputs.get("alpha", SDXL_ALPHA) * ALPHA / SDXL_ALPHA}
    return {name: value for name, value in known.items() if name in inputs}


def _sizes(inputs: dict[str, Any], base_side: int) -> dict[str, Any]:
    sizes: dict[str, Any] = {name: inputs[name] * base_side // SDXL_SIDE for name in SIDES if name in inputs}
    sizes |= {name: base_side for name in BASE_SIDES if inputs.get(name) == 0}
    if inputs.get("target") == "megapixels":
        sizes["megapixels"] = inputs["megapixels"] * (base_side / SDXL_SIDE) ** 2
    return sizes


def _steps(inputs: dict[str, Any], steps: int) -> dict[str, int]:
    fewer = {name: min(inputs[name], steps) for name in ("steps", "later_steps") if name in inputs}
    if "start_at_step" in inputs:
        fewer["start_at_step"] = inputs["start_at_step"] * fewer["steps"] // inputs["steps"]
    return fewer


def _seeds(inputs: dict[str, Any], shift: int) -> dict[str, int]:
    return {name: inputs[name] + shift for name in SEEDS if name in inputs}


def _smallest_seed(prompt: Prompt) -> int:
    seeds = [
        node["inputs"][name]
        for node in prompt.values()
        for name in SEEDS
        if isinstance(node["inputs"].get(name), int)
    ]
    return min(seeds, default=0)


def only(prompt: Prompt, class_type: str) -> str:
    """The id of the one node of a class."""
    found = [node_id for node_id, node in prompt.items() if node["class_type"] == class_type]
    if len(found) != 1:
        raise ValueError(f"Expected one {class_type} in the prompt, got {len(found)}.")
    return found[0]


def _set_text(prompt: Prompt, side: str, text: str) -> None:
    """Write `text` into the text nodes that feed the inputs called `side`."""
    for source in [node["inputs"][side][0] for node in prompt.values() if side in node["inputs"]]:
        if "text" in prompt[source]["inputs"]:
            prompt[source]["inputs"]["text"] = text
