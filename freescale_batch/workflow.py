"""An API-format workflow: its nodes by id or title, and how a job changes them."""

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

from .errors import BatchError

Prompt = dict[str, dict[str, Any]]
"""Node id -> class_type, inputs and, from the web page's export, _meta with the title."""
SEEDS = ("seed", "noise_seed")


def load_workflow(file: Path) -> Prompt:
    """Read a workflow in API format.

    Raises:
        BatchError: the file is missing, is no JSON or is a workflow in the web page's own format.
    """
    try:
        prompt = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BatchError(
            f"Expected a workflow in {file}, got {error.strerror}: give a file to --workflow."
        ) from None
    except ValueError as error:
        raise BatchError(f"Expected JSON in {file}, got an error ({error}): export it again.") from None
    if not isinstance(prompt, dict) or not prompt or not all(map(_is_node, prompt.values())):
        form = "the page's own format" if isinstance(prompt, dict) and "nodes" in prompt else "something else"
        raise BatchError(
            f"Expected a workflow in API format in {file}, got {form}: in ComfyUI use File > Export (API)."
        )
    return prompt


def _is_node(value: object) -> bool:
    return isinstance(value, dict) and "class_type" in value and isinstance(value.get("inputs"), dict)


def fingerprint(*parts: object) -> str:
    """Sixteen hexadecimal digits that change when any part does."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def workflow_fingerprint(prompt: Prompt) -> str:
    """Fingerprint of what a workflow computes: titles do not count."""
    return fingerprint({key: (node["class_type"], node["inputs"]) for key, node in prompt.items()})


def title_of(node: dict[str, Any]) -> str:
    return str(node.get("_meta", {}).get("title", ""))


def resolve(prompt: Prompt, target: str) -> tuple[str, str]:
    """Return (node id, input) for "6.text" or "Title of the node.text".

    Raises:
        ValueError: no node, several nodes or no such input.
    """
    node, dot, name = target.rpartition(".")
    if not dot or not node or not name:
        raise ValueError(f"expected NODE.INPUT, as in 6.text, got {target!r}")
    node_id = _node_id(prompt, node)
    inputs = prompt[node_id]["inputs"]
    if name not in inputs:
        raise ValueError(
            f"expected an input of node {node!r} ({', '.join(inputs) or 'it has none'}), got {name!r}"
        )
    if is_link(inputs[name]):
        source = inputs[name][0]
        raise ValueError(f"expected an input with a value, got {target!r}, which comes from node {source}")
    return node_id, name


def _node_id(prompt: Prompt, node: str) -> str:
    if node in prompt:
        return node
    titled = [key for key, value in prompt.items() if title_of(value) == node]
    if len(titled) == 1:
        return titled[0]
    if titled:
        raise ValueError(f"expected one node titled {node!r}, got {len(titled)} ({', '.join(titled)})")
    raise ValueError(f"expected the id or the title of a node of the workflow, got {node!r}")


def is_link(value: object) -> bool:
    """True for [node id, output index]."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)


def with_inputs(prompt: Prompt, values: dict[str, Any]) -> Prompt:
    """Return a copy whose inputs have the values of {"6.text": ...}."""
    prompt = copy.deepcopy(prompt)
    for target, value in values.items():
        node_id, name = resolve(prompt, target)
        prompt[node_id]["inputs"][name] = value
    return prompt


def seed_inputs(prompt: Prompt) -> list[str]:
    """All seeds of a workflow that have a value, as "3.seed"."""
    return [
        f"{key}.{name}"
        for key, node in prompt.items()
        for name in SEEDS
        if isinstance(node["inputs"].get(name), int)
    ]


def prompt_inputs(prompt: Prompt) -> list[str]:
    """The texts that feed inputs called `positive`, as "6.text"."""
    links = [
        node["inputs"]["positive"] for node in prompt.values() if is_link(node["inputs"].get("positive"))
    ]
    found: dict[str, None] = {}
    for source, _ in links:
        if (text := _text_behind(prompt, source, set())) is not None:
            found[text] = None
    return list(found)


def _text_behind(prompt: Prompt, node_id: str, seen: set[str]) -> str | None:
    if node_id in seen or node_id not in prompt:
        return None
    seen.add(node_id)
    inputs = prompt[node_id]["inputs"]
    if isinstance(inputs.get("text"), str):
        return f"{node_id}.text"
    # A node such as ControlNet hands the positive prompt on; others do so from their first conditioning.
    names = [name for name in ("positive", "conditioning", "conditioning_1", "text") if name in inputs]
    sources = [inputs[name][0] for name in names if is_link(inputs[name])]
    return next((text for source in sources if (text := _text_behind(prompt, source, seen))), None)
