"""The templates as programs queue them: every node, input and value is one that the server knows."""

import json

import pytest

from tools.harness import workflow

FILES = sorted(workflow.API_PROMPTS.glob("*.json"))
FROM_DISK = (
    "ckpt_name",
    "control_net_name",
    "model_name",
    "unet_name",
    "clip_name",
    "clip_name1",
    "clip_name2",
    "vae_name",
    "image",
)
"""Choices among files that are not here."""


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_server_knows_all_of_it(object_info: dict, file) -> None:
    prompt = json.loads(file.read_text(encoding="utf-8"))
    assert any(node["class_type"].startswith("FreeScale") for node in prompt.values())
    for node in prompt.values():
        info = object_info[node["class_type"]]["input"]
        known = info.get("required", {}) | info.get("optional", {})
        assert set(info.get("required", {})) <= set(node["inputs"]) <= set(known), node["class_type"]
        for name, value in node["inputs"].items():
            if isinstance(value, list):
                origin, slot = value
                offered = object_info[prompt[origin]["class_type"]]["output"][slot]
                assert offered == known[name][0], (node["class_type"], name)
            elif name not in FROM_DISK and isinstance(known[name][0], list):
                assert value in known[name][0], (node["class_type"], name)


def test_there_is_one_for_each_template_that_runs_by_itself() -> None:
    names = {file.stem for file in workflow.TEMPLATES.glob("*.json")}
    assert names - {file.stem for file in FILES} == {
        "FreeScale 03 Text to 4k.app",
        "FreeScale 05 Best of four",
    }
