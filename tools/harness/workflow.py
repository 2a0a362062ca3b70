"""Workflow files: from the web page's form (a graph with widgets by position) to the server's (inputs by
name)."""

import copy
import json
from pathlib import Path
from typing import Any

from tools import ROOT
from tools.harness.comfy_client import Prompt

TEMPLATES = ROOT / "workflows"
API_PROMPTS = TEMPLATES / "api"
"""Templates as the page exports them for programs."""
TEMPLATE = TEMPLATES / "FreeScale 01 Text to 4k.json"
NOTES = ("Note", "MarkdownNote")
MUTED, BYPASSED = 2, 4
WIDGET_TYPES = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COMFY_DYNAMICCOMBO_V3")
SEEDS = ("seed", "noise_seed")
SOCKETLESS = {"IMAGECOMPARE": {"__value__": ["", ""]}}
"""Widgets that no file keeps the value of: type -> what the page sends."""

NEWER_WIDGETS = {"bit_depth"}
"""Names of widgets of stock nodes that ComfyUI 0.3.75 has not: no file holds them, newer pages send their
defaults."""

Workflow = dict[str, Any]
ObjectInfo = dict[str, Any]
"""The server's /object_info: node class -> its inputs in order."""
Source = tuple[str, int]
"""Node id and output index."""


def load(file: Path = TEMPLATE) -> Workflow:
    workflow: Workflow = json.loads(file.read_text(encoding="utf-8"))
    return workflow


def api_prompt(workflow: Workflow, object_info: ObjectInfo) -> Prompt:
    """The prompt that the web page would send for a workflow without subgraphs.

    Raises:
        ValueError: a node is unknown to the server or its widget values do not fit its inputs.
    """
    nodes = {
        node["id"]: node for node in workflow["nodes"] if node["type"] not in NOTES and node["mode"] != MUTED
    }
    links = {link[0]: link for link in workflow["links"]}
    prompt = {}
    for node in nodes.values():
        if node["mode"] != BYPASSED:
            inputs = _widget_values(node, object_info) | _linked_inputs(node, nodes, links)
            prompt[str(node["id"])] = {
                "class_type": node["type"],
                "inputs": inputs,
                "_meta": {"title": node.get("title", node["type"])},
            }
    return prompt


def without_newer_widgets(prompt: Prompt) -> Prompt:
    """The prompt as every supported ComfyUI takes it."""
    return {
        node: {
            **values,
            "inputs": {name: v for name, v in values["inputs"].items() if name not in NEWER_WIDGETS},
        }
        for node, values in prompt.items()
    }


def with_values(workflow: Workflow, prompt: Prompt, object_info: ObjectInfo) -> Workflow:
    """A copy of the workflow whose widgets have the values of a prompt that was made from it."""
    workflow = copy.deepcopy(workflow)
    for node in workflow["nodes"]:
        if str(node["id"]) in prompt:
            inputs = prompt[str(node["id"])]["inputs"]
            values = node.get("widgets_values", [])
            named = zip(widget_names(object_info[node["type"]]), values, strict=True)
            node["widgets_values"] = [
                value if name is None or isinstance(inputs[name], list) else inputs[name]
                for name, value in named
            ]
    return workflow


def _linked_inputs(
    node: dict[str, Any], nodes: dict[int, Any], links: dict[int, Any]
) -> dict[str, list[Any]]:
    sources = {slot["name"]: _source(slot["link"], nodes, links) for slot in node.get("inputs", [])}
    return {name: list(source) for name, source in sources.items() if source is not None}


def _source(link_id: int | None, nodes: dict[int, Any], links: dict[int, Any]) -> Source | None:
    """Where a link begins. Muted nodes give nothing; bypassed ones hand on their input of the same type: the
    one in the output's place, else the first."""
    if link_id is None:
        return None
    _, origin, slot, _, _, kind = links[link_id]
    node = nodes.get(origin)
    if node is None or node["mode"] != BYPASSED:
        return None if node is None else (str(origin), slot)
    inputs = node["inputs"][slot : slot + 1] + node["inputs"]
    through = next((i["link"] for i in inputs if i["type"] == kind), None)
    return _source(through, nodes, links)


def _widget_values(node: dict[str, Any], object_info: ObjectInfo) -> dict[str, Any]:
    if node["type"] not in object_info:
        raise ValueError(
            f"Expected a node the server knows, got {node['type']}: install its pack or remove it from the "
            "workflow."
        )
    names = widget_names(object_info[node["type"]])
    values = node.get("widgets_values", [])
    if len(names) != len(values):
        raise ValueError(
            f"{node['type']} {node['id']}: expected {len(names)} widget values "
            f"({', '.join(n or '-' for n in names)}), got {values}."
        )
    named = {name: value for name, value in zip(names, values, strict=True) if name is not None}
    required = object_info[node["type"]]["input"].get("required", {})
    sent = {name: SOCKETLESS.get(str(kind)) for name, (kind, *_) in required.items()}
    return named | {name: value for name, value in sent.items() if value is not None}


def widget_names(info: dict[str, Any]) -> list[str | None]:
    """Names of a node's widgets by position; None for those the server does not know: the one that says what
    happens to a seed after each run, and the button that uploads a picture."""
    names: list[str | None] = []
    for section in ("required", "optional"):
        for name, (kind, *rest) in info["input"].get(section, {}).items():
            options = rest[0] if rest else {}
            if name in NEWER_WIDGETS:
                continue
            if (isinstance(kind, list) or kind in WIDGET_TYPES) and not options.get("forceInput"):
                names.append(name)
                if (
                    options.get("control_after_generate")
                    or options.get("image_upload")
                    or (kind == "INT" and name in SEEDS)
                ):
                    names.append(None)
    return names
