"""The subgraphs of the node library: offered by the server, and each run once, small, on the demo model."""

import json
from typing import Any

import pytest

from tools import ROOT
from tools.harness import workflow
from tools.harness.comfy_client import ComfyClient, Prompt
from tools.harness.demo_prompts import CHECKPOINT, for_demo_model

FILES = sorted((ROOT / "subgraphs").glob("*.json"))
SIDE = 64
INPUT_NODE, OUTPUT_NODE = -10, -20
LOADER, TEXT, IMAGE = "loader", "text", "loaded"
GIVEN: Prompt = {
    LOADER: {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": CHECKPOINT}},
    TEXT: {"class_type": "CLIPTextEncode", "inputs": {"clip": [LOADER, 1], "text": "owl at night"}},
    IMAGE: {
        "class_type": "EmptyImage",
        "inputs": {"width": 1024, "height": 1024, "batch_size": 1, "color": 0},
    },
}
"""What a user connects: the nodes that give it."""
SOURCES = {
    "model": [LOADER, 0],
    "vae": [LOADER, 2],
    "positive": [TEXT, 0],
    "negative": [TEXT, 0],
    "image": [IMAGE, 0],
}
MADE = {
    "FreeScale enlarge an image": {"image": (128, 128)},
    "FreeScale one stage": {"image": (128, 128)},
    "FreeScale text to 4k": {"image": (256, 256), "base image": (64, 64)},
}
"""Blueprint -> its images and their sizes from a base of SIDE pixels."""


def blueprint(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "subgraphs" / f"{name}.json").read_text(encoding="utf-8"))


def inside_of(name: str) -> dict[str, Any]:
    (subgraph,) = blueprint(name)["definitions"]["subgraphs"]
    return subgraph


def small_prompt(subgraph: dict[str, Any], object_info: dict) -> Prompt:
    """The nodes inside, on the demo model, with SOURCES at the inputs and a Save Image at each image."""
    links = {link["id"]: link for link in subgraph["links"]}
    fields = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    graph = {"nodes": subgraph["nodes"], "links": [[link[f] for f in fields] for link in links.values()]}
    prompt = workflow.api_prompt(graph, object_info)
    slots = {node["id"]: node["inputs"] for node in subgraph["nodes"]}
    for link in links.values():
        if link["origin_id"] == INPUT_NODE:
            inputs = prompt[str(link["target_id"])]["inputs"]
            name = slots[link["target_id"]][link["target_slot"]]["name"]
            inputs[name] = SOURCES[subgraph["inputs"][link["origin_slot"]]["name"]]
        elif link["target_id"] == OUTPUT_NODE and link["type"] == "IMAGE":
            output = subgraph["outputs"][link["target_slot"]]["name"]
            source = [str(link["origin_id"]), link["origin_slot"]]
            prompt[output] = {
                "class_type": "SaveImage",
                "inputs": {"images": source, "filename_prefix": "blueprint"},
            }
    return for_demo_model(prompt | GIVEN, steps=4, text="owl on a blue background", base_side=SIDE)


def test_these_are_the_blueprints() -> None:
    assert [file.stem for file in FILES] == sorted(MADE)


def test_the_server_offers_them(client: ComfyClient) -> None:
    offered = client.get("/global_subgraphs")
    ours = {
        entry["name"]: key
        for key, entry in offered.items()
        if entry["info"]["node_pack"] == "custom_nodes.ComfyUI-FreeScale"
    }
    assert sorted(ours) == sorted(MADE)
    for name, key in ours.items():
        assert json.loads(client.get(f"/global_subgraphs/{key}")["data"]) == blueprint(name)


@pytest.mark.parametrize("name", MADE)
def test_it_runs_and_gives_images_of_the_right_sizes(
    client: ComfyClient, object_info: dict, name: str
) -> None:
    run = client.run(small_prompt(inside_of(name), object_info))
    assert run.outcome == "success", run.error
    made = {output: [client.picture(file).size for file in run.files(output)] for output in MADE[name]}
    assert made == {output: [size] for output, size in MADE[name].items()}


@pytest.mark.parametrize("name", MADE)
def test_its_widgets_are_those_of_nodes_inside(object_info: dict, name: str) -> None:
    subgraph = inside_of(name)
    (outer,) = blueprint(name)["nodes"]
    kinds = {str(node["id"]): node["type"] for node in subgraph["nodes"]}
    for node, widget in outer["properties"]["proxyWidgets"]:
        inputs = object_info[kinds[node]]["input"]
        assert widget in inputs["required"] | inputs.get("optional", {})
    for side in ("inputs", "outputs"):
        slots = [[(slot["name"], slot["type"]) for slot in box[side]] for box in (outer, subgraph)]
        assert slots[0] == slots[1]
