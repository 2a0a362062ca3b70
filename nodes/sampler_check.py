"""Says before anything runs that a cascade's sampler cannot work, where the prompt alone tells it."""

import comfy.samplers

from .host.prompt_graph import Prompt, source_of, upstream
from .patching.detail_blend import check_sampler
from .plan_node import SAME

PARTS = ("FreeScaleScaleFusion", "FreeScaleDilatedConv", "FreeScaleRoPE")
"""Nodes that leave detail control off in a MODEL without settings."""


def sampler_problem(prompt: Prompt, cascade: str | None) -> str | None:
    """The sentence on a sampler that detail control refuses, or None.

    cascade: the node's id in the prompt. Where another node decides on the sampler or on detail control, the
    run tells.
    """
    if cascade is None or cascade not in prompt:
        return None
    inputs = prompt[cascade]["inputs"]
    name = _later_sampler(prompt, inputs)
    if name not in comfy.samplers.KSampler.SAMPLERS or _may_be_off(prompt, inputs):
        return None
    try:
        check_sampler(comfy.samplers.sampler_object(name))
    except ValueError as error:
        return str(error)
    return None


def _later_sampler(prompt: Prompt, inputs: Prompt) -> str | None:
    """The sampler of the stages above the base; None = not known."""
    name = inputs.get("sampler_name")
    if "plan" in inputs:
        plan = source_of(prompt, inputs["plan"])
        if plan is None or prompt[plan]["class_type"] != "FreeScalePlan":
            return None
        later = prompt[plan]["inputs"].get("later_sampler")
        name = name if later == SAME else later
    return name if isinstance(name, str) else None


def _may_be_off(prompt: Prompt, inputs: Prompt) -> bool:
    """Whether a node before the cascade may set detail control off."""
    nodes = [prompt[node] for node in upstream(prompt, [inputs.get("model"), inputs.get("overrides")])]
    return any(
        node["class_type"] in PARTS
        or (node["class_type"] == "FreeScaleDetailControl" and node["inputs"].get("enabled") is not True)
        for node in nodes
    )
