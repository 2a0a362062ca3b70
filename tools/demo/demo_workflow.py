"""Writes freescale_demo.json: the 4k template as it runs on the demo model, for `dev.py serve`.

python -m tools.demo.demo_workflow
"""

import json
from pathlib import Path

from tools.harness.comfy_server import ComfyServer
from tools.harness.demo_prompts import for_demo_model
from tools.harness.workflow import ObjectInfo, Workflow, api_prompt, load, with_values

FILE = Path(__file__).with_name("freescale_demo.json")
TEXT = "rocket at night"
STEPS = 20
NOTE = (
    "## FreeScale on the demo model\n\nA tiny SDXL, trained at 256 px on the CPU, so that everything can be "
    "tried without a "
    "GPU: press Run. It knows twenty things and fourteen places, such as *red apple*, *panda*, *castle*, "
    "*rocket*; *on a blue "
    "background*, *in a meadow*, *at night* (tools/demo/README.md). Real SDXL: the templates.\n"
)


def demo_workflow(object_info: ObjectInfo) -> Workflow:
    template = load()
    prompt = for_demo_model(api_prompt(template, object_info), steps=STEPS, text=TEXT)
    workflow = with_values(template, prompt, object_info)
    note = next(node for node in workflow["nodes"] if node["type"] == "MarkdownNote")
    note["widgets_values"] = [NOTE]
    return workflow


if __name__ == "__main__":
    with ComfyServer.from_environment() as client:
        made = demo_workflow(client.get("/object_info"))
    FILE.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
