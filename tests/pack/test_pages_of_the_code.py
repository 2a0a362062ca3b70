"""docs/METHOD.md, docs/ARCHITECTURE.md and docs/RELIABILITY.md name files, functions and tests that exist."""

import re
from pathlib import Path

import pytest

from tools import ROOT

PAGES = {"METHOD": 15, "ARCHITECTURE": 15, "RELIABILITY": 3}
"""Page -> what it names at least."""
NAMED = re.compile(r"`((?:nodes|freescale_core|tests|tools|locales)/[\w/.]+)(?:::(\w+))?`")


def named(page):
    return NAMED.findall((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_is_there(page):
    found = named(page)
    assert len(found) > PAGES[page]
    for path, name in found:
        assert (ROOT / path).exists(), path
        if name:
            assert re.search(
                rf"^(def|class) {name}\b|^{name}\b.* = ",
                (ROOT / path).read_text(encoding="utf-8"),
                re.MULTILINE,
            ), (path, name)


def test_every_module_of_the_method_is_on_its_page():
    """But for those that hold no formula."""
    planning = {"cost", "kinds", "plan", "report", "stages", "transformers"}
    without = planning | {"attend", "gather", "masks", "presets", "settings"}
    modules = {path.stem for path in (ROOT / "freescale_core").rglob("*.py")} - without - {"__init__"}
    assert modules <= {Path(path).stem for path, _ in named("METHOD")}
