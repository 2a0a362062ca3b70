"""What the server says about the pack before anything runs."""

import pytest

from tools.harness.comfy_client import ComfyClient
from tools.harness.comfy_server import ComfyServer

NODES = [
    "FreeScaleModelPatch",
    "FreeScaleScaleFusion",
    "FreeScaleDilatedConv",
    "FreeScaleDetailControl",
    "FreeScaleUpscale",
    "FreeScalePlan",
    "FreeScaleCascade",
    "FreeScaleStageOverride",
    "FreeScaleDetailRegion",
    "FreeScalePromptRegion",
    "FreeScaleRoPE",
    "FreeScaleVideoCrafterLoader",
    "FreeScaleVideoCrafterTextToVideo",
    "FreeScaleVideoCrafterSampler",
]


@pytest.mark.parametrize("node", NODES)
def test_a_node_is_listed_and_explains_every_input_and_output(object_info: dict, node: str) -> None:
    info = object_info[node]
    inputs = {
        name: spec
        for section in ("required", "optional")
        for name, spec in info["input"].get(section, {}).items()
    }
    assert info["display_name"].startswith(("FreeScale ", "VideoCrafter2 ", "Load VideoCrafter2"))
    assert info["category"].split("/")[0] == "FreeScale"
    assert info["description"]
    assert [name for name, spec in inputs.items() if not spec[1].get("tooltip")] == []
    assert len(info["output_tooltips"]) == len(info["output"]) > 0
    assert all(info["output_tooltips"])


def test_every_node_of_the_pack_is_known_to_these_tests(object_info: dict) -> None:
    assert {name for name in object_info if name.startswith("FreeScale")} == set(NODES)


def test_the_pack_and_the_demo_model_load_without_complaint(server: ComfyServer, client: ComfyClient) -> None:
    start_log = server.log.split("Starting server")[0].splitlines()
    complaints = ("IMPORT FAILED", "Traceback", "Cannot import", "Skip ")
    assert [line for line in start_log if any(complaint in line for complaint in complaints)] == []
    assert any("ComfyUI-FreeScale" in line for line in start_log)
    assert any("freescale_demo_model" in line for line in start_log)


def test_the_template_is_offered_with_its_picture(client: ComfyClient) -> None:
    assert "FreeScale 01 Text to 4k" in client.get("/workflow_templates")["ComfyUI-FreeScale"]
    folder = "/api/workflow_templates/ComfyUI-FreeScale"
    assert client.get(f"{folder}/FreeScale 01 Text to 4k.json")["version"] == 0.4
    assert client.picture_at(f"{folder}/FreeScale 01 Text to 4k.jpg").format == "JPEG"


def test_the_texts_of_the_nodes_are_offered_in_english_and_chinese(client: ComfyClient) -> None:
    texts = client.get("/i18n")
    for language in ("en", "zh"):
        assert set(NODES) <= texts[language]["nodeDefs"].keys()
