"""What a cascade leaves to look at: previews of the stages under the node, and PNGs that bring the workflow
back."""

import json

import pytest
from PIL import Image
from prompts import cascade_prompt, changed

from tools.harness import workflow
from tools.harness.comfy_client import ComfyClient, Prompt, Run

BATCH = 5
SAVED = "12"


@pytest.fixture(scope="module")
def prompt() -> Prompt:
    small = changed(cascade_prompt(steps=2, factor=1.25), "5", base_width=128, base_height=128)
    save = {SAVED: {"class_type": "SaveImage", "inputs": {"images": ["10", 1], "filename_prefix": "stage"}}}
    return changed(small, "6", width=128, height=128, batch_size=BATCH) | save


@pytest.fixture(scope="module")
def run(client: ComfyClient, prompt: Prompt) -> Run:
    return client.run(prompt, workflow.load())


def test_some_pictures_of_each_stage_are_shown_under_the_node(client: ComfyClient, run: Run) -> None:
    assert run.outcome == "success", run.error
    files = run.files("10")
    assert {file["type"] for file in files} == {"temp"}
    assert [client.picture(file).size for file in files] == 4 * [(128, 128)] + 4 * [(160, 160)]


def test_saved_and_shown_pictures_bring_workflow_and_prompt_back(
    client: ComfyClient, run: Run, prompt: Prompt
) -> None:
    saved, shown = run.files(SAVED), run.files("10")
    assert len(saved) == BATCH
    for file in [*saved, *shown]:
        assert text_of(client.picture(file)) == {"workflow": workflow.load(), "prompt": prompt}


def text_of(image: Image.Image) -> dict[str, object]:
    """The JSON in a PNG; the server adds marks of its own to the prompt's nodes."""
    text = {name: json.loads(value) for name, value in image.text.items()}
    return text | {
        "prompt": {
            node: {key: values[key] for key in ("class_type", "inputs")}
            for node, values in text["prompt"].items()
        }
    }


def test_a_page_that_was_loaded_anew_is_given_the_stages_again_where_the_host_can(
    client: ComfyClient, run: Run, prompt: Prompt, object_info: dict
) -> None:
    """The cascade is cached then; newer hosts send its pictures all the same."""
    again = client.run(changed(prompt, SAVED, filename_prefix="other"))
    assert "10" not in again.started_nodes
    lasts = object_info["FreeScaleCascade"].get("has_intermediate_output", False)
    assert again.files("10") == (run.files("10") if lasts else [])
