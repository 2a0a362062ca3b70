"""What the page offers before anything runs: node search, templates, help pages."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, expect

from tools.harness.comfy_client import ComfyClient, Prompt
from tools.harness.comfy_page import VIEW, ComfyPage
from tools.harness.workflow import API_PROMPTS, TEMPLATE, TEMPLATES, without_newer_widgets

FILES = sorted(TEMPLATES.glob("*.json"))
APP = TEMPLATES / "FreeScale 03 Text to 4k.app.json"
ALIAS = "hidiffusion"


def search(ui: ComfyPage, text: str) -> Locator:
    """Type into the node search; what it lists."""
    ui.command("Workspace.SearchBox.Toggle")
    # The preview of the first node found has comboboxes, too.
    ui.page.locator("input[role=combobox]").last.fill(text)
    return ui.page.get_by_role("option")


def close_search(ui: ComfyPage) -> None:
    """By its command, for Escape goes to whatever has the focus; the next search must not find this one."""
    ui.command("Workspace.SearchBox.Toggle")
    expect(ui.page.get_by_role("option")).to_have_count(0)


def test_every_node_is_found_by_its_name(ui: ComfyPage, object_info: dict) -> None:
    found = search(ui, "FreeScale")
    for name in (info["display_name"] for kind, info in object_info.items() if kind.startswith("FreeScale")):
        expect(found.filter(has_text=re.compile(rf"^\s*{name}"))).to_have_count(1)
    ui.screenshot("search")
    close_search(ui)


def test_a_node_is_found_by_an_alias_where_the_host_knows_aliases(ui: ComfyPage, object_info: dict) -> None:
    knows = "search_aliases" in object_info["FreeScaleModelPatch"]
    expect(search(ui, ALIAS).filter(has_text="FreeScale Model Patch")).to_have_count(int(knows))
    close_search(ui)


def test_the_template_browser_shows_all_templates_and_opens_one(ui: ComfyPage) -> None:
    ui.open_template_browser()
    for file in FILES:
        expect(ui.template_card(file.stem)).to_be_visible()
        expect(ui.template_card(file.stem)).to_contain_text(file.stem)
        ui.template_card(file.stem).scroll_into_view_if_needed()
        picture = ui.template_card(file.stem).locator("img").first
        expect(picture).to_have_js_property("complete", True)
        assert picture.evaluate("(image) => image.naturalWidth") > 0
    ui.screenshot("template_browser")
    with ui.loading():
        ui.template_card(FILES[0].stem).click()
    ui.wait_for_view()


SMALL_SCREEN = {"width": 1366, "height": 768}
LEGIBLE = 8 / 14
"""Below this zoom the classic renderer leaves out all text: 14 px become less than 8."""
SHOWN = 350
"""So much of the first group must be on the screen, to the right and downwards; ComfyUI 0.3.75 opens the
stored view, newer pages show the whole graph."""
SEEN = """() => {
    const [left, top] = app.canvas.ds.convertCanvasToOffset([0, 0]);
    const { width, height } = app.canvas.canvas.getBoundingClientRect();
    return [left, top, left + width / app.canvas.ds.scale, top + height / app.canvas.ds.scale];
}"""
"""The part of the graph that is on the screen, in the graph's pixels: left, top, right, bottom."""


@pytest.fixture
def small_screen(ui: ComfyPage) -> Iterator[ComfyPage]:
    ui.page.set_viewport_size(SMALL_SCREEN)
    yield ui
    ui.page.set_viewport_size(VIEW)


@pytest.mark.parametrize("file", [file for file in FILES if file != APP], ids=lambda file: file.stem)
def test_a_template_opens_legible_on_a_small_screen_with_all_its_nodes(
    small_screen: ComfyPage, file: Path
) -> None:
    ui = small_screen
    ui.open_template(file.stem)
    ui.wait_for_view()
    graph = ui.workflow()
    nodes = graph["nodes"]
    plans = [node for node in nodes if node["type"] == "FreeScalePlan"]
    expect(ui.page.locator("svg").filter(has_text="UNet")).to_have_count(len(plans))
    ui.screenshot(f"template_{file.stem}")
    assert ui.unknown_nodes() == []
    assert any(node["type"].startswith("FreeScale") for node in nodes)
    if (saved := API_PROMPTS / file.name).is_file():
        assert without_titles(ui.prompt()) == without_titles(json.loads(saved.read_text(encoding="utf-8")))
    assert ui.page.evaluate("() => app.canvas.ds.scale") >= LEGIBLE
    left, top, right, bottom = ui.page.evaluate(SEEN)
    x, y, _, _ = graph["groups"][0]["bounding"]
    assert left <= x <= right - SHOWN and top <= y <= bottom - SHOWN


def without_titles(prompt: Prompt) -> Prompt:
    """Of each node what every ComfyUI reads."""
    return {
        node: {"class_type": values["class_type"], "inputs": values["inputs"]}
        for node, values in without_newer_widgets(prompt).items()
    }


def test_export_for_programs_gives_the_file_that_lies_beside_the_templates(ui: ComfyPage) -> None:
    ui.open_file(TEMPLATE)
    saved = (API_PROMPTS / TEMPLATE.name).read_text(encoding="utf-8")
    assert without_titles(json.loads(ui.export_api())) == without_titles(json.loads(saved))


CORNERS = """(title) => {
    const group = app.graph.groups.find((group) => group.title === title);
    const canvas = app.canvas.canvas.getBoundingClientRect();
    const onPage = (x, y) => {
        const [left, top] = app.canvas.ds.convertOffsetToCanvas([x, y]);
        return [canvas.left + left, canvas.top + top];
    };
    const [x, y, width, height] = group.bounding ?? [...group.pos, ...group.size];
    return [onPage(x + width + 20, y + height + 20), onPage(x - 20, y - 20)];
}"""
MODES = "(ids) => ids.map((id) => app.graph.getNodeById(id).mode)"
SELECT = "(ids) => app.canvas.selectItems(ids.map((id) => app.graph.getNodeById(id)))"
MUTED = 2


def ids_in_group(file: Path, title: str) -> list[int]:
    """The nodes that a template's file has in a group."""
    graph = json.loads(file.read_text(encoding="utf-8"))
    x, y, width, height = next(group["bounding"] for group in graph["groups"] if group["title"] == title)
    places = {node["id"]: node["pos"] for node in graph["nodes"]}
    return [id_ for id_, (left, top) in places.items() if x < left < x + width and y < top < y + height]


def draw_box(ui: ComfyPage, title: str) -> None:
    """Around a group, with Ctrl held."""
    start, end = ui.page.evaluate(CORNERS, title)
    ui.page.keyboard.down("Control")
    ui.page.mouse.move(*start)
    ui.page.mouse.down()
    ui.page.mouse.move(*end, steps=10)
    ui.page.mouse.up()
    ui.page.keyboard.up("Control")


def test_a_box_around_the_second_group_and_ctrl_m_mute_it_without_an_error(
    ui: ComfyPage, client: ComfyClient, request: pytest.FixtureRequest
) -> None:
    """What the notes advise to somebody who still looks for a base image: nothing of the group is run.

    The HTML renderer of ComfyUI 0.3.75 moves nodes out of their groups when it opens a workflow, so that no
    box holds one: there they are selected one by one.
    """
    file, title = TEMPLATES / "FreeScale 02 Text to 2k.json", "2  FreeScale: twice the size"
    release = client.get("/system_stats")["system"]["comfyui_version"]
    ui.open_file(file)
    ui.fit()
    ids = ids_in_group(file, title)
    if (release, request.node.callspec.params["open_page"]) == ("0.3.75", "nodes2"):
        ui.page.evaluate(SELECT, ids)
    else:
        draw_box(ui, title)
    ui.page.keyboard.press("Control+m")
    ui.wait_for(f"(ids) => ({MODES})(ids).every((mode) => mode === {MUTED})", ids)
    ui.screenshot("group_muted")
    kinds = [node["class_type"] for node in ui.prompt().values()]
    assert len(ids) == 2 and "KSampler" in kinds and "FreeScaleCascade" not in kinds


def test_the_help_panel_shows_our_page_and_finds_every_nodes_picture(
    ui: ComfyPage, object_info: dict
) -> None:
    ui.add_node("FreeScaleModelPatch")
    ui.page.get_by_test_id("info-button").click()
    help_page = ui.page.locator(".node-help-content")
    expect(help_page.get_by_role("heading", name="FreeScale Model Patch")).to_be_visible()
    expect(help_page.get_by_role("heading", name="Pitfalls")).to_be_attached()
    picture = help_page.get_by_role("img", name="FreeScale Model Patch")
    expect(picture).not_to_have_js_property("naturalWidth", 0)
    ui.screenshot("help")
    address = picture.evaluate("(image) => new URL(image.src).pathname")
    for kind in (kind for kind in object_info if kind.startswith("FreeScale")):
        assert ui.client.picture_at(address.replace("FreeScaleModelPatch", kind)).format == "PNG"


def test_a_page_in_chinese_names_the_nodes_in_chinese(
    client: ComfyClient, browser: Browser, screenshots: Path
) -> None:
    """The page of ComfyUI 0.3.75 replaces the texts of packs by its own when it loads a language, so it keeps
    the English names."""
    texts = json.loads((TEMPLATES.parent / "locales" / "zh" / "nodeDefs.json").read_text(encoding="utf-8"))
    page_merges = client.get("/system_stats")["system"]["comfyui_version"] != "0.3.75"
    ui = ComfyPage(browser, client, screenshots / "chinese", {"Comfy.Locale": "zh"})
    ui.clear()
    ui.add_node("FreeScaleCascade")
    ui.screenshot("node")
    ui.add_node("FreeScalePlan")
    expect(ui.page.locator("svg").filter(has_text="在基础图像之上经过一个阶段")).to_contain_text(
        "合计，Balanced"
    )
    ui.screenshot("plan")
    ui.page.get_by_test_id("info-button").click()
    help_page = ui.page.locator(".node-help-content")
    expect(help_page.get_by_role("heading", name="什么时候改什么")).to_be_attached()
    expect(help_page.get_by_role("img", name="FreeScale 计划")).not_to_have_js_property("naturalWidth", 0)
    ui.screenshot("help")
    titles = ui.page.evaluate("(kinds) => kinds.map((kind) => LiteGraph.createNode(kind).title)", list(texts))
    client.post("/api/settings", {"Comfy.Locale": "en"}).raise_for_status()
    ui.page.context.close()
    assert ([text["display_name"] for text in texts.values()] == titles) == page_merges


@pytest.mark.parametrize("condition", ["() => false", "async () => false"])
def test_a_wait_for_what_never_comes_ends_with_an_error(ui: ComfyPage, condition: str) -> None:
    with pytest.raises(TimeoutError, match="not true"):
        ui.wait_for(condition, timeout=200)
