"""ComfyUI's web page in a browser, used as a person uses it where the page allows that, else through
`window.app`."""

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Locator, expect, sync_playwright

from tools.dev.browser import ensure_browser
from tools.dev.paths import PACK
from tools.harness.comfy_client import ComfyClient, Prompt
from tools.harness.workflow import Workflow

WAIT_MS = 30_000
POLL_MS = 30
RUN_MS = 240_000
"""Longest wait for something that a run on the demo model does, on a busy machine."""
VIEW = {"width": 1600, "height": 1000}
# Whoever asks for a name other than this machine's gets no answer: the tests call nobody.
NO_NETWORK = (
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--disable-background-networking",
    "--disable-component-update",
)
SETTINGS = {
    "Comfy.TutorialCompleted": True,
    "Comfy.Locale": "en",
    "Comfy.Minimap.Visible": False,
    "Comfy.RightSidePanel.IsOpen": False,
    "Comfy.Workflow.ShowMissingModelsWarning": False,  # the templates name SDXL, which is not here
    # Names in nodes at any zoom; the setting of newer and of older pages.
    "LiteGraph.Canvas.MinFontSizeForLOD": 0,
    "LiteGraph.Canvas.LowQualityRenderingZoomThreshold": 0.1,
}

HOST_NOISE = (
    # the server and a new user have no such files
    r"Failed to load resource: .* 404 .*/(favicon\.ico|user\.css|api/userdata\b.*)$",
    r"Failed to load resource: .* 404 .*/docs/\w+/en\.md$",  # asked for before the page without a language
    r"violates the following Content Security Policy directive",  # the page would like to call other servers
    r"Fetch API cannot load https://",
    r"Error fetching file size: TypeError: Failed to fetch",
    r"ComfyApp graph accessed before initialization",
    r"Cannot read properties of undefined \(reading 'id'\)\s+at onChange .*/assets/",
    r"Cannot set properties of null \(setting 'value'\)\s+at Proxy\.on(Change|OptionSelect) .*/assets/",
)
"""Errors that ComfyUI's page logs without us, as `text url`."""

# What the page shows of a run, looked at in every frame: the window's title, and for each node the addresses
# of its pictures, which the canvas draws (classic) or which stand in the node's HTML (Nodes 2.0).
WATCH = """() => {
    const seen = { titles: [], pictures: {} };
    const note = (list, value) => list.at(-1) === value || list.push(value);
    const isCurrent = () => window.freescaleSeen === seen;
    const look = () => {
        if (!isCurrent()) return;
        note(seen.titles, document.title);
        for (const node of app.graph.nodes) {
            const html = document.querySelectorAll(`[data-node-id="${node.id}"] img`);
            const shown = [...(html.length ? html : (node.imgs ?? []))].map((image) => image.src);
            if (shown.length) note((seen.pictures[node.id] ??= []), shown.join(" "));
        }
    };
    const everyFrame = () => {
        look();
        if (isCurrent()) requestAnimationFrame(everyFrame);
    };
    window.freescaleSeen = seen;
    everyFrame();
    // On a busy machine several changes fall between two frames.
    const changes = { attributeFilter: ["src"], characterData: true, childList: true, subtree: true };
    new MutationObserver(look).observe(document, changes);
}"""

SET_WIDGETS = """(changes) => {
    for (const [id, name, value] of changes) {
        const widget = app.graph.getNodeById(id).widgets.find((widget) => widget.name === name);
        widget.value = value;
        widget.callback?.(value);
    }
}"""

# The page moves to a view in many small steps and does not begin at once.
VIEW_STANDS_STILL = """() => {
    const view = [app.canvas.ds.scale, ...app.canvas.ds.offset].join();
    const last = window.freescaleView ?? {};
    window.freescaleView = { view, frames: last.view === view ? last.frames + 1 : 0 };
    return window.freescaleView.frames > 10;
}"""

DROP_PICTURE = """async (address) => {
    const asked = new URL(address).searchParams; // a node may show a smaller copy of the file
    const names = ["filename", "subfolder", "type"];
    const file = new URLSearchParams(names.map((name) => [name, asked.get(name) ?? ""]));
    const blob = await (await fetch(`/api/view?${file}`)).blob();
    const transfer = new DataTransfer();
    transfer.items.add(new File([blob], "dropped.png", { type: "image/png" }));
    const drop = new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true });
    document.querySelector("#graph-canvas").dispatchEvent(drop);
}"""


expect.set_options(timeout=WAIT_MS)


@contextmanager
def chromium() -> Iterator[Browser]:
    program = ensure_browser(Path(sys.executable))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--disable-gpu", *NO_NETWORK])
        yield browser
        browser.close()


class ComfyPage:
    """A tab on the server that `client` talks to.

    pictures: folder of its screenshots. settings: of the page, such as the renderer of nodes or the language.
    density: screen pixels for each pixel of the page.
    """

    def __init__(
        self,
        browser: Browser,
        client: ComfyClient,
        pictures: Path,
        settings: dict[str, Any],
        density: int = 1,
    ) -> None:
        self.page = browser.new_context(viewport=VIEW, device_scale_factor=density).new_page()
        self.client = client
        self.complaints: list[str] = []
        self._pictures = pictures
        self.page.set_default_timeout(WAIT_MS)
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        client.post("/api/settings", SETTINGS | settings).raise_for_status()
        self.open()

    def _on_console(self, message: ConsoleMessage) -> None:
        line = f"{message.text} {message.location.get('url', '')}"
        if message.type == "error" and not any(re.search(noise, line) for noise in HOST_NOISE):
            self.complaints.append(line)

    def open(self) -> None:
        """Load the page anew, as F5 does."""
        self.page.goto(f"http://{self.client.address}")
        self.wait_for(
            "() => window.app?.extensionManager?.workflow?.activeWorkflow && "
            "LiteGraph.registered_node_types.FreeScaleCascade"
        )
        expect(self.page.get_by_test_id("queue-button")).to_be_visible(timeout=WAIT_MS)

    def screenshot(self, name: str) -> None:
        """Keep a picture of the page for people to look at."""
        self._pictures.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=self._pictures / f"{name}.png")

    def wait_for(self, condition: str, value: Any = None, timeout: int = WAIT_MS) -> None:
        """Wait until a JavaScript function of `value`, async or not, gives something true.

        Raises:
            TimeoutError: it has not for so many milliseconds.
        """
        # Playwright's own wait_for_function takes the promise of an async function for something true.
        deadline = time.monotonic() + timeout / 1000
        is_met = f"async (value) => Boolean(await ({condition})(value))"
        while not self.page.evaluate(is_met, value):
            if time.monotonic() > deadline:
                raise TimeoutError(f"for {timeout / 1000:g} s not true, with {value!r}: {condition}")
            self.page.wait_for_timeout(POLL_MS)

    def command(self, name: str) -> None:
        """Carry out a command of a menu or key."""
        self.page.evaluate("(name) => void app.extensionManager.command.execute(name)", name)

    # The graph

    def clear(self) -> None:
        """Remove all nodes.

        New ones get new ids, for Nodes 2.0 shows the values of an earlier node with the same id.
        """
        self.page.evaluate(
            """() => {
                app.graph.clear();
                app.graph.state.lastNodeId = window.freescaleLastId = (window.freescaleLastId ?? 0) + 1000;
            }"""
        )

    def add_node(self, kind: str) -> str:
        """Put a node into the middle and select it; its id."""
        return self.page.evaluate(
            """(kind) => {
                const node = LiteGraph.createNode(kind);
                Object.assign(app.canvas.ds, { scale: 1, offset: [0, 0] });
                node.pos = [500, 250];
                app.graph.add(node);
                app.canvas.selectItems([node]);
                return String(node.id);
            }""",
            kind,
        )

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Whatever is done inside opens a workflow; wait until it is in the graph."""
        self.page.evaluate("() => { app.graph.extra = { freescaleOld: true }; }")
        yield
        self.wait_for("() => app.graph.nodes.length && !app.graph.extra?.freescaleOld")

    def open_file(self, file: Path) -> None:
        """Menu > Open."""
        with self.loading(), self.page.expect_file_chooser() as chooser:
            self.command("Comfy.OpenWorkflow")
            chooser.value.set_files(file)

    def open_template_browser(self) -> None:
        """With the templates of this pack."""
        self.command("Comfy.BrowseTemplates")
        self.page.get_by_role("button", name=PACK).click()

    def template_card(self, name: str) -> Locator:
        return self.page.get_by_test_id(f"template-workflow-{name}")

    def open_template(self, name: str) -> None:
        """Click on a template of this pack in the template browser."""
        self.open_template_browser()
        card = self.template_card(name)
        card.scroll_into_view_if_needed()  # Pictures out of sight are not loaded.
        # A card without its picture may still move away from under the mouse.
        expect(card.locator("img").first).to_have_js_property("complete", True)
        with self.loading():
            card.click()

    def drop_picture(self, address: str) -> None:
        """Drop a picture of the server on the canvas."""
        with self.loading():
            self.page.evaluate(DROP_PICTURE, address)

    def fit(self) -> None:
        """Zoom so that all nodes are in view, the mouse away from them."""
        self.page.mouse.move(0, 0)
        self.command("Comfy.Canvas.FitView")
        self.wait_for_view()

    def wait_for_view(self) -> None:
        """Wait until the view stands still."""
        self.wait_for(VIEW_STANDS_STILL)

    def unknown_nodes(self) -> list[str]:
        """Kinds of nodes in the graph and its subgraphs that the page does not know."""
        return self.page.evaluate(
            """() => [app.graph, ...(app.graph.subgraphs?.values() ?? [])]
                .flatMap((graph) => graph.nodes)
                .filter((node) => !LiteGraph.registered_node_types[node.type])
                .map((node) => node.type)"""
        )

    def workflow(self) -> Workflow:
        return self.page.evaluate("async () => (await app.graphToPrompt()).workflow")

    def prompt(self) -> Prompt:
        return self.page.evaluate("async () => (await app.graphToPrompt()).output")

    def set_inputs(self, wanted: Prompt) -> None:
        """Set the graph's widgets so that it makes the prompt `wanted`, which differs from the present one in
        widgets alone."""
        present = self.prompt()
        changes = [
            (node, name, value)
            for node, values in wanted.items()
            for name, value in values["inputs"].items()
            if present[node]["inputs"][name] != value
        ]
        self.page.evaluate(SET_WIDGETS, changes)

    def set_widgets(self, node: str, **values: Any) -> None:
        """Set widgets of one node."""
        self.page.evaluate(SET_WIDGETS, [(node, name, value) for name, value in values.items()])

    # Runs

    def watch(self) -> None:
        """Begin to note what the page shows."""
        self.page.evaluate(WATCH)

    def seen(self) -> dict[str, Any]:
        """titles: of the window; pictures: of each node id. Each a list of what was shown, in order."""
        return self.page.evaluate("() => window.freescaleSeen")

    def press_run(self) -> None:
        self.page.keyboard.press("Control+Enter")

    def press_cancel(self) -> None:
        self.page.get_by_label("Cancel current run").click()

    # Files

    def export_api(self) -> bytes:
        """File > Export (API): the file that the page gives."""
        with self.page.expect_download() as download:
            self.command("Comfy.ExportWorkflowAPI")
            self.page.locator(".prompt-dialog-content input").fill("exported")
            self.page.get_by_role("button", name="Confirm").click()
        return Path(download.value.path()).read_bytes()

    def save_as(self, name: str) -> None:
        """Ctrl+S, give the name, confirm."""
        self.page.keyboard.press("Control+s")
        self.page.locator(".prompt-dialog-content input").fill(name)
        self.page.get_by_role("button", name="Confirm").click()
        self.wait_for(
            "(name) => { const now = app.extensionManager.workflow.activeWorkflow; return now.filename === "
            "name && !now.isModified; }",
            name,
        )
