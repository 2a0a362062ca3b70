"""Texts of the nodes in other languages: locales/en says what the schemas say, locales/zh says all of it in
Chinese."""

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from freescale_pack.nodes import FreeScaleExtension

from tools import ROOT
from tools.pictures.locales import english

LANGUAGES = ("en", "zh")
PROSE = ("description", "tooltip")
CHINESE = re.compile(r"[\u4e00-\u9fff]")
MESSAGE_SYNTAX = re.compile(r"[@{}|]")
"""Characters that the web page's translation takes for commands."""


def read(language: str, file: str) -> dict[str, Any]:
    return json.loads((ROOT / "locales" / language / file).read_text(encoding="utf-8"))


def leaves(texts: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    for key, value in texts.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def test_english_says_what_the_nodes_say():
    """After a change: python3 dev.py locales."""
    assert read("en", "nodeDefs.json") == english()


@pytest.mark.parametrize("file", ["nodeDefs.json", "main.json"])
def test_chinese_has_every_text_and_no_other(file):
    assert dict(leaves(read("zh", file))).keys() == dict(leaves(read("en", file))).keys()


def test_every_sentence_is_in_chinese():
    prose = {path: text for path, text in leaves(read("zh", "nodeDefs.json")) if path[-1] in PROSE}
    assert [path for path, text in prose.items() if not CHINESE.search(text)] == []
    names = {path: text for path, text in leaves(read("zh", "nodeDefs.json")) if path[-1] not in PROSE}
    assert [path for path, text in names.items() if not text.strip()] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_holds_message_syntax(language):
    texts = [*leaves(read(language, "nodeDefs.json")), *leaves(read(language, "main.json"))]
    assert [path for path, text in texts if MESSAGE_SYNTAX.search(text)] == []


def test_every_folder_of_the_node_menu_has_a_name():
    nodes = asyncio.run(FreeScaleExtension().get_node_list())
    folders = {folder for node in nodes for folder in node.GET_SCHEMA().category.split("/")}
    assert read("en", "main.json")["nodeCategories"].keys() == folders
