"""Writes workflows/api: the templates as the page's File > Export (API) gives them, for programs to queue.

From the repository's root, with FREESCALE_COMFYUI and FREESCALE_BASE as dev.py sets them:
python -m tools.pictures.api_prompts
"""

import json
import sys

from tools.dev.errors import DevError
from tools.dev.paths import DEV
from tools.harness.comfy_page import ComfyPage, chromium
from tools.harness.comfy_server import ComfyServer
from tools.harness.workflow import API_PROMPTS, TEMPLATES, without_newer_widgets

LEFT_OUT = ("FreeScale 03 Text to 4k.app", "FreeScale 05 Best of four")
"""The app is the 4k template again; the best of four is chosen by a person."""


def main() -> None:
    API_PROMPTS.mkdir(exist_ok=True)
    with chromium() as browser, ComfyServer.from_environment() as client:
        ui = ComfyPage(browser, client, DEV / "screenshots", {"Comfy.VueNodes.Enabled": False})
        for file in sorted(TEMPLATES.glob("*.json")):
            if file.stem not in LEFT_OUT:
                ui.open_file(file)
                prompt = without_newer_widgets(json.loads(ui.export_api()))
                text = json.dumps(prompt, indent=2, ensure_ascii=False)
                (API_PROMPTS / file.name).write_text(text, encoding="utf-8")
                print(file.name, flush=True)


if __name__ == "__main__":
    try:
        main()
    except DevError as error:
        sys.exit(str(error))
