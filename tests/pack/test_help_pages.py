"""Every node has a help page named after its id, and every page a node."""

import re

import pytest

from tools import ROOT

NAMES = {
    node: name
    for path in (ROOT / "nodes").glob("*.py")
    for node, name in re.findall(r'node_id="(\w+)",\s*display_name="([^"]+)"', path.read_text())
}
IDS = NAMES.keys()
PAGES = sorted((ROOT / "web" / "docs").glob("*.md"))


SECTIONS = ["Inputs", "Output", "Outputs", "When to change what", "Pitfalls"]


def test_every_node_has_a_help_page_and_every_page_a_node():
    assert {path.stem for path in PAGES} == IDS
    assert len(IDS) >= 8


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_help_page_says_what_the_node_does_and_when_to_change_what(page):
    title, what, *rest = page.read_text(encoding="utf-8").split("\n\n")
    assert title == f"# {NAMES[page.stem]}"
    assert len(re.findall(r"[.;:](?:\s|$)", what)) >= 2, (
        "a sentence on what it does and one on how it is used"
    )
    sections = [block.splitlines()[0].removeprefix("## ") for block in rest if block.startswith("## ")]
    assert [name for name in sections if name in SECTIONS] == [name for name in SECTIONS if name in sections]
    assert {"Inputs", "When to change what", "Pitfalls"} <= set(sections)
    assert {"Output", "Outputs"} & set(sections)


def test_every_help_page_shows_its_node():
    """The pictures are drawn by `python3 dev.py pictures`."""
    pictures = {path.stem: path for path in (ROOT / "web" / "docs" / "images").iterdir()}
    assert pictures.keys() == IDS
    assert all(f"](images/{page.stem}.png)" in page.read_text(encoding="utf-8") for page in PAGES)
    assert sum(path.stat().st_size for path in pictures.values()) < 500_000
