"""Help pages tell about everything a node has."""

import asyncio

from freescale_pack.nodes import FreeScaleExtension

from tools import ROOT


def test_every_input_is_named_in_its_help_page():
    missing = []
    for node in asyncio.run(FreeScaleExtension().get_node_list()):
        schema = node.GET_SCHEMA()
        page = (ROOT / "web" / "docs" / f"{schema.node_id}.md").read_text(encoding="utf-8")
        missing += [f"{schema.node_id}: {slot.id}" for slot in schema.inputs if slot.id not in page]
    assert missing == []
