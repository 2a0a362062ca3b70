"""Small prompts in API form on the demo model, and how to compare what they make."""

import copy

import numpy as np

from tools.harness.comfy_client import ComfyClient, Prompt, Run
from tools.harness.demo_prompts import CHECKPOINT

TEXT = "red car on a yellow background"
SAMPLING = {"seed": 42, "steps": 4, "cfg": 3.0, "sampler_name": "euler", "scheduler": "ddim_uniform"}
CONDITIONED = {"positive": ["2", 0], "negative": ["3", 0]}


def common_nodes(side: int) -> Prompt:
    return {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": CHECKPOINT}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": TEXT}},
        "3": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": ""}},
        "6": {"class_type": "EmptyLatentImage", "inputs": {"width": side, "height": side, "batch_size": 1}},
    }


def plain_prompt(side: int = 512) -> Prompt:
    """Ordinary sampling with stock nodes alone. The picture is node 9's."""
    sampler = {"model": ["1", 0], "latent_image": ["6", 0], "denoise": 1.0} | CONDITIONED | SAMPLING
    return common_nodes(side) | {
        "7": {"class_type": "KSampler", "inputs": sampler},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["7", 0], "vae": ["1", 2]}},
        "9": {"class_type": "PreviewImage", "inputs": {"images": ["8", 0]}},
    }


def cascade_prompt(steps: int = 4, factor: float = 2.0) -> Prompt:
    """256 px from an empty latent, then the cascade. The final picture is node 11's."""
    patch = {
        "model": ["1", 0],
        "preset": "Auto",
        "speed": "Exact",
        "alpha": 0.5,
        "base_width": 256,
        "base_height": 256,
    }
    cascade = (
        {"model": ["5", 0], "vae": ["1", 2], "latent": ["6", 0], "factor": factor}
        | CONDITIONED
        | SAMPLING
        | {"steps": steps}
    )
    return common_nodes(256) | {
        "5": {"class_type": "FreeScaleModelPatch", "inputs": patch},
        "10": {"class_type": "FreeScaleCascade", "inputs": cascade},
        "11": {"class_type": "PreviewImage", "inputs": {"images": ["10", 1]}},
    }


def changed(prompt: Prompt, node: str, **inputs: object) -> Prompt:
    """A copy with other inputs of one node; None takes an input away."""
    prompt = copy.deepcopy(prompt)
    merged = prompt[node]["inputs"] | inputs
    prompt[node]["inputs"] = {name: value for name, value in merged.items() if value is not None}
    return prompt


def salted(prompt: Prompt, times: int = 1) -> Prompt:
    """The same prompt to the text encoder, which ignores trailing blanks, but not to the server's cache of
    results."""
    return changed(prompt, "2", text=TEXT + " " * times)


def pixels(client: ComfyClient, run: Run, node: str) -> np.ndarray:
    """The only picture of a node, (h, w, 3)."""
    assert run.outcome == "success", run.error
    (file,) = run.files(node)
    return np.asarray(client.picture(file).convert("RGB"))


def files_of(run: Run, prompt: Prompt, class_type: str) -> list[dict[str, str]]:
    """What all nodes of a class have saved, in the prompt's order."""
    nodes = [node for node, values in prompt.items() if values["class_type"] == class_type]
    return [file for node in nodes for file in run.files(node)]
