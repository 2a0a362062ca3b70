"""The template that newer pages open as an app: a few inputs and Run, without the graph."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tools.harness.comfy_page import RUN_MS, ComfyPage
from tools.harness.demo_prompts import for_demo_model, only

NAME = "FreeScale 03 Text to 4k.app"
SLIDER = "ImageCompare"
OFFERED = ["text", "ckpt_name", "width", "height", "factor", "alpha", "seed"]
SHOWN = """(names) => {
    const text = document.querySelector('[data-testid="linear-widgets"]')?.textContent ?? "";
    return names.filter((name) => text.includes(name));
}"""
LAST_RUN_SUCCEEDED = """async () => {
    const [last] = Object.values(await (await fetch("/api/history?max_items=1")).json());
    return last?.status.status_str === "success";
}"""


@pytest.fixture
def app(ui: ComfyPage, object_info: dict) -> Iterator[ComfyPage | None]:
    """The page with the app open; None where ComfyUI knows no apps."""
    knows_apps = SLIDER in object_info
    if not knows_apps:
        yield None
        return
    ui.open_template(NAME)
    yield ui
    ui.command("Comfy.ToggleLinear")
    expect(ui.page.get_by_test_id("queue-button")).to_be_visible()


def test_the_app_asks_for_prompt_size_and_alpha_and_its_run_shows_the_image(app: ComfyPage | None) -> None:
    if app is None:
        return
    app.wait_for(f"(names) => ({SHOWN})(names).length === names.length", OFFERED)
    app.screenshot("app_opened")
    wanted = for_demo_model(app.prompt(), steps=2, text="red car on a yellow background", base_side=64)
    wanted[only(wanted, "FreeScaleCascade")]["inputs"]["factor"] = 2.0
    app.set_inputs(wanted)
    app.page.get_by_role("button", name="Run", exact=True).click()
    app.wait_for(LAST_RUN_SUCCEEDED, timeout=RUN_MS)
    expect(app.page.get_by_test_id("linear-outputs").locator("img").first).to_be_visible()
    app.screenshot("app_finished")
