"""Runs templates on the demo model."""

import copy
from collections.abc import Sequence
from typing import Any

from PIL import Image

from tools.dev.cli import DEFAULT_HOST
from tools.dev.setup_host import selected_host
from tools.harness import workflow
from tools.harness.comfy_client import ComfyClient, OnMessage, Prompt, Run
from tools.harness.comfy_server import ComfyServer
from tools.harness.demo_prompts import for_demo_model

STEPS = 20


def default_server() -> ComfyServer:
    """The ComfyUI that `dev.py` has set up, to be used outside of it."""
    host = selected_host(DEFAULT_HOST, None)
    return ComfyServer(host.comfyui, host.base)


def template_prompt(
    client: ComfyClient, graph: workflow.Workflow, bypassed: str = "", **changes: Any
) -> Prompt:
    """bypassed: a type of node to do without. changes: of for_demo_model."""
    graph = copy.deepcopy(graph)
    for node in graph["nodes"]:
        if node["type"] == bypassed:
            node["mode"] = workflow.BYPASSED
    return for_demo_model(workflow.api_prompt(graph, client.get("/object_info")), steps=STEPS, **changes)


def pictures_of(
    client: ComfyClient,
    prompt: Prompt,
    graph: workflow.Workflow | None = None,
    on_message: OnMessage | None = None,
    by: Sequence[str] = ("PreviewImage", "SaveImage"),
) -> tuple[list[Image.Image], Run]:
    """What a prompt loads, then what its nodes of the types `by` show or save, in order; and its run."""
    run = client.run(prompt, graph, on_message)
    if run.outcome != "success":
        raise RuntimeError(f"Expected a finished run, got {run.outcome}: {run.error}")
    files = []
    for node in prompt.values():
        if node["class_type"] == "LoadImage":
            files.append({"filename": node["inputs"]["image"], "type": "input"})
    for node_id, node in prompt.items():
        if node["class_type"] in by:
            files += run.files(node_id)
    return [client.picture(file) for file in files], run
