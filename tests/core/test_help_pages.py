"""Every node has a help page named after its id, and every page a node."""

import re
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
IDS = {name for path in (REPO / "nodes").glob("*.py") for name in re.findall(r'node_id="(\w+)"', path.read_text())}


def test_every_node_has_a_help_page_that_names_its_inputs():
    pages = {path.stem: path.read_text() for path in (REPO / "web" / "docs").glob("*.md")}
    assert pages.keys() == IDS
    assert len(IDS) >= 8
    for text in pages.values():
        assert "## Inputs" in text
        assert "## Pitfalls" in text
