"""Draws the pictures of the help pages anew: every node of the pack as the web page shows it.

Started by `python3 dev.py pictures`.
"""

import io
import sys

from PIL import Image
from playwright.sync_api import expect

from tools import ROOT
from tools.dev.errors import DevError
from tools.dev.paths import DEV
from tools.harness.comfy_page import ComfyPage, chromium
from tools.harness.comfy_server import ComfyServer

PICTURES = ROOT / "web" / "docs" / "images"
COLOURS = 256
"""A node has few colours; so many make a file of about 25 kB."""
DENSITY = 2
"""Help is read on fine screens, too."""
MARGIN = 10
"""Pixels of the page around a node: its sockets stand on its edge."""


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with chromium() as browser, ComfyServer.from_environment() as client:
        ui = ComfyPage(browser, client, DEV / "screenshots", {"Comfy.VueNodes.Enabled": True}, DENSITY)
        for kind in sorted(kind for kind in client.get("/object_info") if kind.startswith("FreeScale")):
            picture = Image.open(io.BytesIO(drawn(ui, kind))).convert("RGB").quantize(COLOURS)
            picture.save(PICTURES / f"{kind}.png", optimize=True)
            print(f"{kind}.png {picture.width} x {picture.height}")


def drawn(ui: ComfyPage, kind: str) -> bytes:
    """A PNG of one node that is not selected."""
    ui.clear()
    node = ui.page.locator(f'[data-node-id="{ui.add_node(kind)}"]')
    if kind == "FreeScalePlan":
        expect(node.locator("svg", has_text="UNet")).to_be_visible()
    ui.page.evaluate("() => app.canvas.deselectAll()")
    box = node.bounding_box()
    assert box is not None
    left, top = box["x"] - MARGIN, box["y"] - MARGIN
    width, height = (box[side] + 2 * MARGIN for side in ("width", "height"))
    return ui.page.screenshot(clip={"x": left, "y": top, "width": width, "height": height})


if __name__ == "__main__":
    try:
        main()
    except DevError as error:
        sys.exit(str(error))
