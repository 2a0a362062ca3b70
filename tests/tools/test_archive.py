"""What the registry's archive would hold: nothing runs programs or texts, or asks the network.

It is reproducible, too.
"""

import ast
import importlib.metadata
import re
import sys
import time
import zipfile

import pytest

from tools import ROOT
from tools.dev.archive import build_archive
from tools.dev.licences import IMPORT_NAMES, LICENCES

BANNED_CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "system",
    "popen",
    "execv",
    "execve",
    "spawnv",
    "fork",
}
"""torch.compile and re.compile are attributes of modules that are allowed."""
HOST = {
    "comfy",
    "comfy_api",
    "comfy_execution",
    "comfy_extras",
    "folder_paths",
    "latent_preview",
    "node_helpers",
}
HARMLESS = {
    *("__future__", "abc", "collections", "contextlib", "contextvars", "copy", "dataclasses", "enum"),
    *("functools", "inspect", "itertools", "json", "logging", "math", "numbers", "pathlib", "re", "string"),
    *("sys", "time", "typing", "warnings", "weakref"),
}
"""Of Python's own library. None starts programs, opens connections or installs packages."""
BANNED_SCRIPT = re.compile(
    r"\beval\b|\bFunction\(|innerHTML|XMLHttpRequest|WebSocket|\bimport\(|[^.\w]fetch\("
)
SVG = "http://www.w3.org/2000/svg"
"""The name of a kind of document, not an address that anything is loaded from."""


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The files of the built archive: name -> bytes."""
    file = tmp_path_factory.mktemp("archive") / "pack.zip"
    build_archive(ROOT, file)
    with zipfile.ZipFile(file) as built:
        return {name: built.read(name) for name in built.namelist()}


def sources(archive, ending):
    return {name: text.decode() for name, text in archive.items() if name.endswith(ending)}


def imported(source):
    """The top names of what a file imports from outside the pack."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").split(".")[0])
    return found


def banned_calls(source):
    """Calls by name, and of any module's attribute but compile."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in BANNED_CALLS:
                found.append(node.func.id)
            elif isinstance(node.func, ast.Attribute) and node.func.attr in BANNED_CALLS - {"compile"}:
                found.append(node.func.attr)
    return found


def names(said, licence):
    """Whether a text has the licence's first word, such as BSD, as a word of its own."""
    return licence.split("-")[0].lower() in re.findall(r"\w+", said.lower())


def test_the_archive_holds_the_pack(archive):
    assert {"__init__.py", "nodes/cascade_node.py", "freescale_core/dilation.py", "LICENSE"} <= archive.keys()
    assert not any(name.startswith(("tests/", "tools/", ".")) for name in archive)


def test_no_shipped_file_runs_code_from_texts_or_other_programs(archive):
    assert {
        name: calls for name, text in sources(archive, ".py").items() if (calls := banned_calls(text))
    } == {}


def test_shipped_files_import_what_is_known_to_be_harmless(archive):
    allowed = HARMLESS | HOST | LICENCES.keys() | IMPORT_NAMES.keys()
    found = {name: imported(text) - allowed for name, text in sources(archive, ".py").items()}
    assert {name: modules for name, modules in found.items() if modules} == {}
    assert sys.stdlib_module_names >= HARMLESS


def test_scripts_of_the_page_ask_this_server_alone(archive):
    for name, text in sources(archive, ".js").items():
        assert BANNED_SCRIPT.findall(text) == [], name
        assert re.findall(r"https?://[^\"'`\s]+", text.replace(SVG, "")) == [], name


@pytest.mark.parametrize(
    "source",
    [
        "eval('1')",
        "import os\nos.system('a')",
        "exec(text)",
        "builtins.exec('a')",
        "compile('a', 'b', 'exec')",
    ],
)
def test_a_call_that_is_not_allowed_is_found(source):
    assert banned_calls(source)
    assert not banned_calls("torch.compile(f)\nre.compile('a')\nmodel.eval_frame()")


def test_the_requirements_install_nothing(archive):
    lines = archive["requirements.txt"].decode().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == []


def test_the_same_files_give_the_same_bytes(tmp_path):
    first, second = tmp_path / "first.zip", tmp_path / "second.zip"
    build_archive(ROOT, first)
    time.sleep(2.1)  # Zip files count in two seconds.
    build_archive(ROOT, second)
    assert first.read_bytes() == second.read_bytes()


def test_every_licence_is_the_one_that_the_installed_distribution_states(archive):
    used = set().union(*map(imported, sources(archive, ".py").values())) - HARMLESS - HOST
    assert {IMPORT_NAMES.get(module, module) for module in used} == LICENCES.keys()
    for name, licence in LICENCES.items():
        stated = importlib.metadata.metadata(name)
        said = f"{stated['License-Expression']} {stated['License']} {stated.get_all('Classifier')}"
        assert names(said, licence), name


@pytest.mark.parametrize(
    ("said", "is_named"),
    [("MIT License", True), ("Zlib AND MIT", True), ("limited rights", False), ("0BSD permit", False)],
)
def test_a_licence_is_named_by_a_whole_word(said, is_named):
    assert names(said, "MIT") == is_named
    assert not names(said, "BSD-3-Clause")
