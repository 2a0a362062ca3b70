"""What FreeScale Plan shows below its inputs."""

from playwright.sync_api import Locator, expect

from tools.harness.comfy_page import ComfyPage

PLAN = "FreeScalePlan"


def stages(ui: ComfyPage) -> Locator:
    """The drawing in the node, in either renderer."""
    return ui.page.locator("svg").filter(has_text="stage")


def test_the_plan_is_shown_and_follows_its_inputs(ui: ComfyPage) -> None:
    node = ui.add_node(PLAN)
    expect(stages(ui)).to_contain_text("2048 × 2048")
    expect(stages(ui)).to_contain_text("estimated GiB")
    expect(stages(ui)).not_to_contain_text("4096 × 4096")
    ui.set_widgets(node, factor=4.0)
    expect(stages(ui)).to_contain_text("4096 × 4096")
    ui.screenshot("plan")
    ui.set_widgets(node, target="width x height", width=1536, height=1280)
    expect(stages(ui)).to_contain_text("1536 × 1280")


EXTENT = """(id) => {
    const node = app.graph.getNodeById(id);
    const [svg] = [...document.querySelectorAll("svg")].filter((svg) => svg.textContent.includes("stage"));
    const box = svg.getBoundingClientRect();
    const html = document.querySelector(`[data-node-id="${id}"]`)?.getBoundingClientRect();
    const canvas = app.canvas.canvas.getBoundingClientRect();
    const [, end] = app.canvas.ds.convertOffsetToCanvas([0, node.pos[1] + node.size[1]]);
    return { width: box.width / app.canvas.ds.scale, below: box.bottom - (html?.bottom ?? canvas.top + end) };
}"""
WIDEN = """(id) => {
    const node = app.graph.getNodeById(id);
    node.setSize([700, node.size[1]]);
    app.graph.setDirtyCanvas(true, true);
}"""
PANEL = "Toggle properties panel"
"""The label of a button that newer pages have."""


def test_the_drawing_stays_inside_a_widened_node(ui: ComfyPage) -> None:
    node = ui.add_node(PLAN)
    ui.set_widgets(node, factor=8.0)
    expect(stages(ui)).to_contain_text("8192 × 8192")
    ui.page.evaluate(WIDEN, node)
    ui.page.wait_for_timeout(500)
    ui.screenshot("plan_widened")
    assert ui.page.evaluate(EXTENT, node)["below"] <= 0


def test_the_drawing_is_as_large_after_the_properties_panel_as_before(ui: ComfyPage) -> None:
    node = ui.add_node(PLAN)
    expect(stages(ui)).to_contain_text("2048 × 2048")
    before = ui.page.evaluate(EXTENT, node)["width"]
    ui.page.get_by_test_id("info-button").click()
    for panel in ui.page.get_by_test_id("panel-tab-parameters").all():
        panel.click()
        ui.page.wait_for_timeout(500)
        ui.screenshot("plan_in_the_panel")
    for button in ui.page.get_by_label(PANEL).all():
        button.click()
    ui.page.wait_for_timeout(500)
    ui.screenshot("plan_after_the_panel")
    assert abs(ui.page.evaluate(EXTENT, node)["width"] - before) < 1


def test_bad_input_is_answered_with_the_nodes_own_sentence(ui: ComfyPage) -> None:
    node = ui.add_node(PLAN)
    expect(stages(ui)).to_be_visible()
    ui.set_widgets(node, target="list of factors", factors="twice")
    expect(ui.page.locator("svg").filter(has_text="expected factors from 1.1 to 16.0")).to_contain_text(
        '"twice"'
    )
    ui.screenshot("plan_error")
    ui.set_widgets(node, factors="1.5, 3")
    expect(stages(ui)).to_contain_text("3072 × 3072")
    # The browser itself logs every answer that says "bad request".
    ui.complaints = [complaint for complaint in ui.complaints if "400 (Bad Request)" not in complaint]


def test_what_is_shown_is_not_saved(ui: ComfyPage, object_info: dict) -> None:
    node = ui.add_node(PLAN)
    expect(stages(ui)).to_be_visible()
    (saved,) = ui.workflow()["nodes"]
    inputs = object_info[PLAN]["input"]["required"]
    assert list(ui.prompt()[node]["inputs"]) == list(inputs)
    assert saved["widgets_values"] == list(ui.prompt()[node]["inputs"].values())
