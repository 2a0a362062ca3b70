"""The template that the web page offers, run on the demo model: the one test that goes to 4x."""

import copy
import io
import json

import pytest
from PIL import Image

from tools.demo import demo_workflow
from tools.harness import workflow
from tools.harness.comfy_client import ComfyClient, Prompt, Run
from tools.harness.demo_prompts import for_demo_model, only

STEPS = 4


@pytest.fixture(scope="module")
def template() -> workflow.Workflow:
    return workflow.load()


@pytest.fixture(scope="module")
def prompt(template: workflow.Workflow, object_info: dict) -> Prompt:
    return for_demo_model(
        workflow.api_prompt(template, object_info), steps=STEPS, text="red car on a yellow background"
    )


@pytest.fixture(scope="module")
def run(client: ComfyClient, prompt: Prompt, template: workflow.Workflow) -> Run:
    return client.run(prompt, template)


@pytest.fixture(scope="module")
def saved(client: ComfyClient, run: Run, prompt: Prompt) -> list[Image.Image]:
    return [client.picture(file) for file in run.files(only(prompt, "SaveImage"))]


def test_base_2x_and_4x_come_out(run: Run, saved: list[Image.Image]) -> None:
    assert run.outcome == "success", run.error
    assert [image.size for image in saved] == [(256, 256), (512, 512), (1024, 1024)]


def test_no_picture_is_blank(saved: list[Image.Image]) -> None:
    for image in saved:
        assert all(high - low > 64 for low, high in image.convert("RGB").getextrema())


def test_the_pngs_carry_workflow_and_prompt(
    saved: list[Image.Image], prompt: Prompt, template: workflow.Workflow
) -> None:
    for image in saved:
        assert json.loads(image.text["workflow"]) == template
        assert {node: values["inputs"] for node, values in json.loads(image.text["prompt"]).items()} == {
            node: values["inputs"] for node, values in prompt.items()
        }


def test_the_stages_are_shown_under_the_node(client: ComfyClient, run: Run, prompt: Prompt) -> None:
    shown = [client.picture(file).size for file in run.files(only(prompt, "FreeScaleCascade"))]
    assert shown == [(256, 256), (512, 512), (1024, 1024)]


def test_previews_arrive_while_it_samples_and_show_each_finished_stage(run: Run) -> None:
    sides = [Image.open(io.BytesIO(preview)).width for preview in run.previews]
    assert len(sides) >= STEPS + 3
    assert [side for side in sides if side in (512, 1024)][-2:] == [512, 1024]


def test_a_muted_cascade_leaves_the_base_picture(template: workflow.Workflow, object_info: dict) -> None:
    muted = copy.deepcopy(template)
    for node in muted["nodes"]:
        if node["type"] in ("FreeScaleCascade", "SaveImage"):
            node["mode"] = workflow.MUTED
    prompt = workflow.api_prompt(muted, object_info)
    assert only(prompt, "PreviewImage")
    assert not any(node["class_type"] == "FreeScaleCascade" for node in prompt.values())


def test_a_bypassed_freeu_leaves_the_model_to_the_patch(
    template: workflow.Workflow, object_info: dict
) -> None:
    bypassed = copy.deepcopy(template)
    next(node for node in bypassed["nodes"] if node["type"] == "FreeU")["mode"] = workflow.BYPASSED
    prompt = workflow.api_prompt(bypassed, object_info)
    patch = prompt[only(prompt, "FreeScaleModelPatch")]
    assert patch["inputs"]["model"] == [only(prompt, "CheckpointLoaderSimple"), 0]


@pytest.mark.parametrize(
    ("kind", "change"), [("FreeScaleModelPatch", {"alpha": 0.7}), ("FreeScaleCascade", {"factor": 2.0})]
)
def test_another_alpha_or_factor_leaves_the_base_image_cached(
    client: ComfyClient, run: Run, prompt: Prompt, kind: str, change: dict[str, float]
) -> None:
    changed = copy.deepcopy(prompt)
    changed[only(changed, "FreeScaleCascade")]["inputs"]["factor"] = 2.0
    changed[only(changed, kind)]["inputs"] |= change
    again = client.run(changed)
    assert again.outcome == "success", again.error
    (cached,) = (message["nodes"] for message in again.of("execution_cached"))
    assert only(prompt, "KSampler") in cached and only(prompt, "FreeScaleCascade") not in cached


def test_the_workflow_of_dev_py_serve_is_the_template_on_the_demo_model(
    client: ComfyClient, object_info: dict
) -> None:
    """After a change of the template: python -m tools.demo.demo_workflow, in the environment of dev.py."""
    kept = json.loads(demo_workflow.FILE.read_text(encoding="utf-8"))
    assert kept == demo_workflow.demo_workflow(object_info)
    prompt = workflow.api_prompt(kept, object_info)
    prompt[only(prompt, "KSampler")]["inputs"]["steps"] = 2
    prompt[only(prompt, "FreeScaleCascade")]["inputs"] |= {"steps": 2, "factor": 2.0}
    assert client.run(prompt, kept).outcome == "success"
