"""A template run on the demo model from the page: progress, previews, pictures, cancel, save, reload,
drop."""

import re
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import expect

from tools.harness.comfy_client import Prompt
from tools.harness.comfy_page import RUN_MS, ComfyPage
from tools.harness.demo_prompts import for_demo_model, only
from tools.harness.workflow import TEMPLATE, Workflow

STEPS = 6
LAST_RUN = """async (event) => {
    const [last] = Object.values(await (await fetch("/api/history?max_items=1")).json());
    return last?.status.messages.some(([name]) => name === event);
}"""


@dataclass(frozen=True)
class Shown:
    """What the page showed of one run."""

    prompt: Prompt
    workflow: Workflow
    titles: list[str]
    pictures: dict[str, list[str]]


def open_for_demo_model(ui: ComfyPage, **cascade: Any) -> Prompt:
    """Open the template and set its widgets as the demo model needs them, for 2x and few steps; its
    prompt."""
    ui.open_file(TEMPLATE)
    prompt = for_demo_model(ui.prompt(), steps=STEPS, text="red car on a yellow background")
    prompt[only(prompt, "FreeScaleCascade")]["inputs"] |= {"factor": 2.0} | cascade
    ui.set_inputs(prompt)
    assert ui.prompt() == prompt
    return prompt


@pytest.fixture(scope="module")
def shown(open_page: ComfyPage) -> Shown:
    prompt = open_for_demo_model(open_page)
    open_page.fit()
    open_page.watch()
    open_page.press_run()
    saved = only(prompt, "SaveImage")
    open_page.wait_for("(id) => freescaleSeen.pictures[id]?.at(-1).includes('/api/view?')", saved, RUN_MS)
    open_page.wait_for(LAST_RUN, "execution_success", RUN_MS)
    open_page.screenshot("finished_run")
    return Shown(prompt, open_page.workflow(), **open_page.seen())


def test_progress_rises_in_the_windows_title(ui: ComfyPage, shown: Shown) -> None:
    percents = [
        int(match[1]) for title in shown.titles if (match := re.search(r"\[(\d+)%\] FreeScaleCascade", title))
    ]
    assert percents == sorted(percents)
    assert len(set(percents)) > 1


def test_previews_and_results_are_shown_under_the_nodes(ui: ComfyPage, shown: Shown) -> None:
    cascade, saved = (shown.pictures[only(shown.prompt, kind)] for kind in ("FreeScaleCascade", "SaveImage"))
    assert len([picture for picture in cascade if picture.startswith("blob:")]) > 1
    assert all("/api/view?" in picture for picture in saved)


def test_a_saved_picture_opens_its_workflow_when_dropped(ui: ComfyPage, shown: Shown) -> None:
    ui.drop_picture(shown.pictures[only(shown.prompt, "SaveImage")][-1].split()[-1])
    assert ui.prompt() == shown.prompt
    assert essence(ui.workflow()) == essence(shown.workflow)


def test_after_a_run_a_plan_of_the_same_base_says_how_long_it_takes_here(ui: ComfyPage, shown: Shown) -> None:
    plan = ui.add_node("FreeScalePlan")
    ui.set_widgets(plan, base_width=256, base_height=256)
    drawing = ui.page.locator("svg").filter(has_text="without FreeScale")
    expect(drawing).to_contain_text(re.compile(r"A base image takes about \d+ s here \(\d+ steps\)"))
    expect(drawing).to_contain_text(re.compile(r"all, Exact\d+\.\d, about \d+ s here"))
    ui.screenshot("plan_timed")


def test_cancel_ends_the_run_and_the_page_says_nothing(ui: ComfyPage) -> None:
    open_for_demo_model(ui, steps=50)
    ui.press_run()
    ui.wait_for("() => /[1-9]\\d*%\\] FreeScaleCascade/.test(document.title)", timeout=RUN_MS)
    ui.press_cancel()
    ui.wait_for(LAST_RUN, "execution_interrupted", RUN_MS)
    expect(ui.page.get_by_role("dialog")).to_have_count(0)


def test_a_saved_workflow_is_the_same_after_a_reload(ui: ComfyPage, request: pytest.FixtureRequest) -> None:
    name = f"saved in {request.node.callspec.id}"
    open_for_demo_model(ui)
    before = ui.workflow()
    ui.save_as(name)
    ui.open()
    ui.wait_for(
        "(name) => app.extensionManager.workflow.activeWorkflow.filename === name && app.graph.nodes.length",
        name,
    )
    assert essence(ui.workflow()) == essence(before)


def essence(workflow: Workflow) -> Any:
    """What of a workflow must stay: not the places and sizes, which the HTML renderer of 0.3.75 scales at
    every opening."""
    kept = ("id", "type", "title", "mode", "widgets_values", "inputs", "outputs", "properties")
    nodes = [{name: node.get(name) for name in kept} for node in workflow["nodes"]]
    return sorted(nodes, key=lambda node: node["id"]), workflow["links"], workflow["groups"]
