"""A newcomer's first session by README alone: install, template, run, cancel, go on, another alpha, an image
dropped. Nothing of it may show an error."""

import pytest
from playwright.sync_api import expect

from tools.harness.comfy_client import Prompt
from tools.harness.comfy_page import RUN_MS, ComfyPage
from tools.harness.demo_prompts import for_demo_model, only
from tools.harness.workflow import TEMPLATE

STEPS = 40
"""Enough to press Cancel in between."""
SEEDS = {"classic": 5001, "nodes2": 5002}
"""Another for each renderer: the server keeps what it has drawn."""
WATCH_TOASTS = """() => {
    const seen = (window.freescaleErrors = []);
    const look = () => {
        for (const toast of document.querySelectorAll(".p-toast-message-error"))
            if (!seen.includes(toast.textContent)) seen.push(toast.textContent);
    };
    new MutationObserver(look).observe(document, { childList: true, subtree: true });
}"""
ERRORS = "() => window.freescaleErrors"
LAST_RUN = """async () => {
    const [last] = Object.values(await (await fetch("/api/history?max_items=1")).json());
    return [last.status.status_str, last.status.messages, last.outputs];
}"""
ENDED = """async (count) => {
    const [runs, queue] = await Promise.all(
        ["/api/history", "/api/prompt"].map(async (path) => (await fetch(path)).json()),
    );
    return Object.keys(runs).length === count && queue.exec_info.queue_remaining === 0;
}"""
AN_ERROR = "() => app.extensionManager.toast.add({ severity: 'error', summary: 'made by the test' })"
KEPT = "is kept from an earlier run"
LATE = r"() => /([5-9]\d)%\] FreeScaleCascade/.test(document.title)"
"""The second stage of two costs most of the run."""


def set_up(ui: ComfyPage, seed: int) -> Prompt:
    """Choose the checkpoint and what goes with it, as a user sets the widgets; the prompt."""
    text = "red car on a yellow background"
    prompt = for_demo_model(ui.prompt(), steps=STEPS, text=text, seed=seed, base_side=64)
    ui.set_inputs(prompt)
    return ui.prompt()


def run(ui: ComfyPage, *, cancel: bool = False) -> tuple[str, dict[str, dict], dict]:
    """Press Run, and Cancel in the last stage; status, messages by kind, and outputs of the run."""
    before = len(ui.client.get("/history"))
    ui.press_run()
    if cancel:
        ui.wait_for(LATE, timeout=RUN_MS)
        ui.press_cancel()
    ui.wait_for(ENDED, before + 1, RUN_MS)
    status, messages, outputs = ui.page.evaluate(LAST_RUN)
    return status, dict(messages), outputs


def kept_stages(ui: ComfyPage) -> int:
    """How many stages the server's log says it has taken from an earlier run."""
    return str(ui.client.get("/internal/logs")).count(KEPT)


def test_the_first_session_of_a_newcomer_shows_no_error(
    ui: ComfyPage, request: pytest.FixtureRequest
) -> None:
    ui.page.evaluate(WATCH_TOASTS)
    ui.open_template(TEMPLATE.stem)
    prompt = set_up(ui, SEEDS[request.node.callspec.params["open_page"]])
    base, cascade, saved = (only(prompt, kind) for kind in ("KSampler", "FreeScaleCascade", "SaveImage"))

    assert "execution_interrupted" in run(ui, cancel=True)[1]
    ui.screenshot("newcomer_cancelled")

    before = kept_stages(ui)
    status, messages, _ = run(ui)
    assert status == "success" and base in messages["execution_cached"]["nodes"]
    assert kept_stages(ui) > before  # two, if Cancel came while the last one was decoded
    ui.screenshot("newcomer_went_on")

    ui.set_widgets(only(prompt, "FreeScaleModelPatch"), alpha=1.0)
    status, messages, outputs = run(ui)
    cached = messages["execution_cached"]["nodes"]
    assert status == "success" and base in cached and cascade not in cached

    file = outputs[saved]["images"][-1]
    assert ui.client.picture(file).size == (256, 256)
    changed = ui.prompt()
    names = "&".join(f"{name}={value}" for name, value in file.items())
    ui.drop_picture(f"http://{ui.client.address}/view?{names}")
    assert ui.prompt() == changed
    ui.screenshot("newcomer_dropped")

    assert ui.page.evaluate(ERRORS) == []
    ui.page.evaluate(AN_ERROR)  # The watch would have seen one.
    ui.wait_for(f"() => ({ERRORS})().length === 1")
    ui.page.evaluate("() => app.extensionManager.toast.removeAll()")
    expect(ui.page.locator(".p-toast-message-error")).to_have_count(0)  # It would lie over buttons.
