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
    expect(stages(ui)).to_contain_text("GPU memory, GiB")
    expect(stages(ui)).to_contain_text("all, Fast")
    expect(stages(ui)).not_to_contain_text("4096 × 4096")
    ui.set_widgets(node, factor=4.0)
    expect(stages(ui)).to_contain_text("4096 × 4096")
    ui.screenshot("plan")
    ui.set_widgets(node, target="width x height", width=1536, height=1280)
    expect(stages(ui)).to_contain_text("1536 × 1280")


def test_a_transformer_is_shown_in_tokens(ui: ComfyPage) -> None:
    node = ui.add_node(PLAN)
    ui.set_widgets(node, kind="FLUX.1, Chroma")
    expect(stages(ui)).to_contain_text("16384")
    expect(stages(ui)).to_contain_text("operations of a model call, stage 0 = 1")
    expect(stages(ui)).not_to_contain_text("all, Fast")
    ui.screenshot("plan_of_a_transformer")
    ui.set_widgets(node, kind="SDXL")
    expect(stages(ui)).to_contain_text("all, Fast")


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


SHOWN = """(id) => {
    const html = document.querySelector(`[data-node-id="${id}"]`);
    const { widgets } = app.graph.getNodeById(id);
    if (!html) return widgets.filter((widget) => !widget.hidden).map((widget) => widget.name);
    const leaves = [...html.querySelectorAll("*")].filter((element) => !element.children.length);
    const texts = leaves.map((element) => element.textContent);
    return widgets.map((widget) => widget.name).filter((name) => texts.includes(name));
}"""
FOLLOWS = """(id) => {
    const html = document.querySelector(`[data-node-id="${id}"]`);
    return !html || "getLayoutWidgets" in app.graph.getNodeById(id);
}"""
"""Older pages show every input in Nodes 2.0."""
TARGETS = {
    "factor": ["factor"],
    "megapixels": ["megapixels"],
    "width x height": ["width", "height"],
    "list of factors": ["factors"],
}


def test_only_the_inputs_of_the_chosen_target_are_shown(ui: ComfyPage) -> None:
    node = ui.add_node(PLAN)
    expect(stages(ui)).to_be_visible()
    before = ui.prompt()[node]["inputs"]
    names = [name for inputs in TARGETS.values() for name in inputs]
    for target, inputs in TARGETS.items():
        ui.set_widgets(node, target=target)
        wanted = inputs if ui.page.evaluate(FOLLOWS, node) else names
        ui.wait_for(
            f"([id, all, wanted]) => ({SHOWN})(id).filter((name) => all.includes(name)).join() === wanted",
            [node, names, ",".join(wanted)],
        )
    ui.screenshot("plan_factors")
    assert ui.prompt()[node]["inputs"] == before | {"target": "list of factors"}


CONNECT = """(plan) => {
    const node = app.graph.getNodeById(plan);
    const [patch, cascade] = ["FreeScaleModelPatch", "FreeScaleCascade"].map((kind, index) => {
        const other = LiteGraph.createNode(kind);
        other.pos = [980 + 320 * index, 250];
        app.graph.add(other);
        return other;
    });
    for (const other of [patch, cascade]) node.connect(0, other, other.findInputSlot("plan"));
    return [String(patch.id), String(cascade.id)];
}"""
DISCONNECT = """(id) => {
    const node = app.graph.getNodeById(id);
    node.disconnectInput(node.findInputSlot("plan"));
}"""
GREY = """(id) => app.graph.getNodeById(id).widgets
    .filter((widget) => widget.disabled).map((widget) => widget.name)"""
GREY_HTML = """(id) => [...document.querySelectorAll(`[data-node-id="${id}"] input`)]
    .filter((input) => input.disabled).length"""


def test_what_a_connected_plan_decides_is_grey(ui: ComfyPage) -> None:
    node = ui.add_node(PLAN)
    patch, cascade = ui.page.evaluate(CONNECT, node)
    assert ui.page.evaluate(GREY, patch) == ["base_width", "base_height"]
    assert ui.page.evaluate(GREY, cascade) == ["factor"]
    if ui.page.locator(f'[data-node-id="{cascade}"]').count() and ui.page.evaluate(FOLLOWS, cascade):
        ui.wait_for(f"(id) => ({GREY_HTML})(id) === 1", cascade)
        ui.wait_for(f"(id) => ({GREY_HTML})(id) === 2", patch)
    ui.screenshot("plan_connected")
    assert ui.prompt()[cascade]["inputs"]["factor"] == 2.0
    for other in (patch, cascade):
        ui.page.evaluate(DISCONNECT, other)
        assert ui.page.evaluate(GREY, other) == []


LINK_WIDGET = """([id, name]) => {
    const node = app.graph.getNodeById(id);
    const other = LiteGraph.createNode("PrimitiveBoolean");
    app.graph.add(other);
    other.connect(0, node, node.findInputSlot(name));
}"""


def test_an_input_that_another_node_decides_greys_nothing(ui: ComfyPage) -> None:
    """The page does not know the value that will come."""
    node = ui.add_node("FreeScaleDetailControl")
    ui.set_widgets(node, enabled=False)
    assert ui.page.evaluate(GREY, node) == ["alpha"]
    ui.page.evaluate(LINK_WIDGET, [node, "enabled"])
    assert "alpha" not in ui.page.evaluate(GREY, node)


def test_the_alpha_of_the_patch_that_gets_the_plan_is_marked(ui: ComfyPage) -> None:
    node = ui.add_node(PLAN)
    expect(stages(ui)).not_to_contain_text("yours")
    patch, _ = ui.page.evaluate(CONNECT, node)
    expect(stages(ui)).to_contain_text("alpha 2, yours")
    ui.set_widgets(patch, alpha=0.7)
    ui.set_widgets(node, factor=4.0)
    expect(stages(ui)).to_contain_text("alpha 0.7, yours")


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
    inputs = object_info[PLAN]["input"]
    assert list(ui.prompt()[node]["inputs"]) == [*inputs["required"], "frames", "kind"]
    assert saved["widgets_values"] == list(ui.prompt()[node]["inputs"].values())
