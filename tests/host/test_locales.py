"""Texts of the nodes in other languages: locales/en says what the schemas say, the others say all of it in
theirs."""

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from freescale_pack.nodes import FreeScaleExtension

from tools import ROOT
from tools.pictures.locales import english

LETTERS = {"zh": r"[\u4e00-\u9fff]", "ja": r"[\u3040-\u30ff]", "ko": r"[\uac00-\ud7a3]"}
"""By language: letters that every sentence in it has."""
LANGUAGES = ("en", *LETTERS)
PROSE = ("description", "tooltip")
VALUE = re.compile(r"\$\w+", re.ASCII)
FULL_STOP = (".", "。")
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


def test_every_language_is_tested():
    assert {path.name for path in (ROOT / "locales").iterdir()} == set(LANGUAGES)


@pytest.mark.parametrize("language", LETTERS)
@pytest.mark.parametrize("file", ["nodeDefs.json", "main.json"])
def test_every_language_has_every_text_and_no_other(file, language):
    assert dict(leaves(read(language, file))).keys() == dict(leaves(read("en", file))).keys()


@pytest.mark.parametrize("language", LETTERS)
def test_every_sentence_is_in_its_language(language):
    texts = dict(leaves(read(language, "nodeDefs.json")))
    prose = {path: text for path, text in texts.items() if path[-1] in PROSE}
    assert [path for path, text in prose.items() if not re.search(LETTERS[language], text)] == []
    assert [path for path, text in texts.items() if not text.strip()] == []


@pytest.mark.parametrize("language", LETTERS)
def test_no_two_inputs_of_a_node_have_one_name(language):
    for node, texts in read(language, "nodeDefs.json").items():
        names = [slot["name"] for slot in texts["inputs"].values()]
        assert len(set(names)) == len(names), node


@pytest.mark.parametrize("language", LETTERS)
def test_every_sentence_of_the_plan_is_in_its_language_and_takes_the_same_values(language):
    english_texts = dict(leaves(read("en", "main.json")["freescalePlan"]))
    for path, text in leaves(read(language, "main.json")["freescalePlan"]):
        assert set(VALUE.findall(text)) == set(VALUE.findall(english_texts[path])), path
        if text.endswith(FULL_STOP):
            assert re.search(LETTERS[language], text), path


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_holds_message_syntax(language):
    texts = [*leaves(read(language, "nodeDefs.json")), *leaves(read(language, "main.json"))]
    assert [path for path, text in texts if MESSAGE_SYNTAX.search(text)] == []


def test_every_folder_of_the_node_menu_has_a_name():
    nodes = asyncio.run(FreeScaleExtension().get_node_list())
    folders = {folder for node in nodes for folder in node.GET_SCHEMA().category.split("/")}
    assert read("en", "main.json")["nodeCategories"].keys() == folders
