"""Writes locales/en from the nodes' schemas: python3 dev.py locales.

The other languages are written by hand; tests/host/test_locales.py says what they lack.
"""

import asyncio
import json
from typing import Any

import tools.harness.in_process  # noqa: F401, I001 (ComfyUI, then the pack, ready for use in this process)

# isort: split
from freescale_pack.nodes import FreeScaleExtension

from tools import ROOT


def english() -> dict[str, Any]:
    """What the schemas of all nodes say, in the form of a nodeDefs.json."""
    nodes = asyncio.run(FreeScaleExtension().get_node_list())
    return {node.GET_SCHEMA().node_id: _texts(node.GET_SCHEMA()) for node in nodes}


def _texts(schema: Any) -> dict[str, Any]:
    outputs = {str(i): _named(output.display_name, output.tooltip) for i, output in enumerate(schema.outputs)}
    inputs = {slot.id: _named(slot.display_name or slot.id, slot.tooltip) for slot in schema.inputs}
    return {
        "display_name": schema.display_name,
        "description": schema.description,
        "inputs": inputs,
        "outputs": outputs,
    }


def _named(name: str | None, tooltip: str) -> dict[str, str]:
    """A socket without a name of its own is shown by its type, which the web page names."""
    return {"name": name, "tooltip": tooltip} if name else {"tooltip": tooltip}


if __name__ == "__main__":
    file = ROOT / "locales" / "en" / "nodeDefs.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(english(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(file.relative_to(ROOT))
