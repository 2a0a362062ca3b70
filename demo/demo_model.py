"""The same workflows on the demo model: what of a prompt for SDXL has to change, and nothing else."""

import copy

from .comfy_client import Prompt

CHECKPOINT = "tiny_sdxl.safetensors"
BASE_SIDE = 256
SDXL_SIDE = 1024
CFG = 3.0
ALPHA = 0.5
NEUTRAL_FREEU = {"b1": 1.0, "b2": 1.0, "s1": 1.0, "s2": 1.0}


def for_demo_model(prompt: Prompt, *, steps: int, text: str | None = None, seed: int | None = None) -> Prompt:
    """A copy of a prompt made for SDXL that runs on the demo model.

    Checkpoint: CHECKPOINT. Sizes of empty latents: 1024 -> 256 in proportion. Base size of the model patch: 256x256.
    cfg 3 and alpha 0.5, which this model needs. FreeU: all factors 1, those for SDXL deface its pictures. Negative text: none,
    it knows no such words. Steps: at most `steps`. Text of every positive prompt and the seed, if given. The rest stays.
    """
    prompt = copy.deepcopy(prompt)
    for node in prompt.values():
        inputs = node["inputs"]
        known = {
            "ckpt_name": CHECKPOINT,
            "cfg": CFG,
            "alpha": ALPHA,
            "base_width": BASE_SIDE,
            "base_height": BASE_SIDE,
            "steps": min(inputs.get("steps", steps), steps),
        }
        if seed is not None:
            known["seed"] = seed
        if node["class_type"] == "EmptyLatentImage":
            known |= {side: inputs[side] * BASE_SIDE // SDXL_SIDE for side in ("width", "height")}
        if node["class_type"] == "FreeU":
            known |= NEUTRAL_FREEU
        inputs.update({name: value for name, value in known.items() if name in inputs})
    _set_text(prompt, "negative", "")
    if text is not None:
        _set_text(prompt, "positive", text)
    return prompt


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
