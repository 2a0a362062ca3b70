"""Every node has a help page named after its id, and every page a node."""

import json
import re

import pytest

from tools import ROOT

NAMES = {
    node: name
    for path in (ROOT / "nodes").glob("*.py")
    for node, name in re.findall(r'node_id="(\w+)",\s*display_name="([^"]+)"', path.read_text())
}
IDS = NAMES.keys()
DOCS = ROOT / "web" / "docs"
PAGES = sorted(DOCS.glob("*.md"))
TRANSLATIONS = sorted(DOCS.glob("*/*.md"))
"""ComfyUI asks for <node id>/<language>.md first. A translation names the images as its page does."""
CHINESE_SECTIONS = {
    "Inputs": "输入",
    "Output": "输出",
    "Outputs": "输出",
    "What it shows": "显示的内容",
    "When to change what": "什么时候改什么",
    "Pitfalls": "注意",
    "Example: SDXL for the base, Lightning for the rest": "示例：基础用 SDXL，其余用 Lightning",
}

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


def test_every_help_page_is_there_in_chinese_and_in_no_unknown_language():
    assert {path.relative_to(DOCS).as_posix() for path in TRANSLATIONS} == {f"{name}/zh.md" for name in IDS}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_in_chinese_has_the_sections_rows_and_points_of_the_english_one(page):
    english, chinese = (
        path.read_text(encoding="utf-8").splitlines() for path in (page, DOCS / page.stem / "zh.md")
    )
    titles = json.loads((ROOT / "locales/zh/nodeDefs.json").read_text(encoding="utf-8"))
    assert chinese[0] == f"# {titles[page.stem]['display_name']}"
    sections = [line.removeprefix("## ") for line in english if line.startswith("## ")]
    assert [line.removeprefix("## ") for line in chinese if line.startswith("## ")] == [
        CHINESE_SECTIONS[section] for section in sections
    ]
    for start in ("| ", "* ", "!["):
        count = [sum(line.startswith(start) for line in lines) for lines in (english, chinese)]
        assert count[0] == count[1], start
    links = [set(re.findall(r"\]\((.*?)\)", "\n".join(lines))) for lines in (english, chinese)]
    assert links[0] == links[1]
