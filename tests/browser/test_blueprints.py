"""The blueprints in the page: found by their names, put into the graph, and run as the page sends them."""

import pytest
from playwright.sync_api import expect

from tools import ROOT
from tools.harness.comfy_page import ComfyPage
from tools.harness.demo_prompts import for_demo_model, only

NAMES = sorted(file.stem for file in (ROOT / "subgraphs").glob("*.json"))
TO_4K = "FreeScale text to 4k"
# Older pages call a promoted widget `2: text`.
WIDGETS = "() => app.graph.nodes[0].widgets.map((widget) => widget.name.replace(/^\\d+: /, ''))"
SAVE_ITS_IMAGE = """() => {
    const [blueprint] = app.graph.nodes;
    const save = LiteGraph.createNode("SaveImage");
    app.graph.add(save);
    blueprint.connect(0, save, 0);
}"""


def put(ui: ComfyPage, name: str) -> None:
    """Search the node by its name and put it into the graph."""
    ui.command("Workspace.SearchBox.Toggle")
    ui.page.get_by_role("combobox").last.fill(name)
    ui.page.get_by_role("option").filter(has_text=name).first.click()
    ui.wait_for("() => app.graph.nodes.length === 1")
    expect(ui.page.get_by_role("option")).to_have_count(0)
    # Newer pages let the new node follow the mouse, and move the view with it, until a click on the canvas.
    ui.page.mouse.click(700, 400)
    ui.wait_for("() => !app.canvas.state.ghostNodeId")


@pytest.mark.parametrize("name", NAMES)
def test_a_blueprint_is_found_and_brings_nodes_that_the_page_knows(ui: ComfyPage, name: str) -> None:
    put(ui, name)
    ui.screenshot(f"blueprint_{name}")
    assert ui.page.evaluate("() => app.graph.nodes[0].title") == name
    assert [kind for kind in ui.unknown_nodes() if kind.count("-") < 4] == []
    assert "factor" in ui.page.evaluate(WIDGETS)


def test_the_blueprint_for_4k_runs_as_the_page_sends_it(ui: ComfyPage) -> None:
    put(ui, TO_4K)
    assert {"ckpt_name", "text", "width", "height", "seed", "factor", "alpha"} <= set(
        ui.page.evaluate(WIDGETS)
    )
    ui.page.evaluate(SAVE_ITS_IMAGE)
    prompt = for_demo_model(ui.prompt(), steps=2, text="red car on a yellow background", base_side=64)
    run = ui.client.run(prompt)
    assert run.outcome == "success", run.error
    (file,) = run.files(only(prompt, "SaveImage"))
    assert ui.client.picture(file).size == (256, 256)
