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


def test_every_help_page_shows_its_node():
    """The pictures are drawn by `python3 dev.py pictures`."""
    pages = (REPO / "web" / "docs").glob("*.md")
    pictures = {path.stem: path for path in (REPO / "web" / "docs" / "images").iterdir()}
    assert pictures.keys() == IDS
    assert all(f"](images/{page.stem}.png)" in page.read_text(encoding="utf-8") for page in pages)
    assert sum(path.stat().st_size for path in pictures.values()) < 500_000
