"""Help pages tell about everything a node has."""

import asyncio

import pytest
from freescale_pack.nodes import FreeScaleExtension

from tools import ROOT


@pytest.mark.parametrize("page", ["{}.md", "{}/zh.md"], ids=["en", "zh"])
def test_every_input_is_named_in_its_help_page(page):
    missing = []
    for node in asyncio.run(FreeScaleExtension().get_node_list()):
        schema = node.GET_SCHEMA()
        text = (ROOT / "web" / "docs" / page.format(schema.node_id)).read_text(encoding="utf-8")
        missing += [f"{schema.node_id}: {slot.id}" for slot in schema.inputs if slot.id not in text]
    assert missing == []
