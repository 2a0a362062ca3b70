"""Tables of docs/BEHAVIOUR.md and CONTRIBUTING.md: pages are as printed, and the tests that rows name
exist."""

import ast
import re
import subprocess
import sys

import pytest

from tools import ROOT

from .test_composition import ELSEWHERE, ROWS
from .test_robustness import FAILURES


def is_test(name):
    """True if a file of tests has that name and defines that function.

    name: file.py::function or file.py, with or without folders before it (tests/host/test_golden.py).
    """
    file_name, _, function = name.partition("::")
    files = [file for file in ROOT.glob("tests/**/test_*.py") if file.as_posix().endswith(f"/{file_name}")]
    return any(not function or function in functions(file) for file in files)


def functions(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_page_is_what_the_tables_print():
    command = [sys.executable, "-m", "tests.print_tables"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    page = (ROOT / "docs" / "BEHAVIOUR.md").read_text(encoding="utf-8")
    assert printed == page, "expected docs/BEHAVIOUR.md as printed: python3 dev.py tables > docs/BEHAVIOUR.md"


@pytest.mark.parametrize(("what", "result", "tests"), [*FAILURES, *ELSEWHERE])
def test_a_row_names_the_tests_that_execute_it(what, result, tests):
    assert tests and all("::" in name for name in tests)
    assert [name for name in tests if not is_test(name)] == []


@pytest.mark.parametrize("name", ROWS)
def test_a_row_says_in_words_what_its_check_asserts(name):
    assert bool(ROWS[name].shows) == (ROWS[name].check is not None)


def test_every_test_that_contributing_names_exists():
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"[\w/]*test_\w+\.py(?:::test_\w+)?", page)
    assert len(named) > 20
    assert [name for name in named if not is_test(name)] == []


def test_a_name_without_a_test_is_found_out():
    assert is_test("test_tables.py::test_the_page_is_what_the_tables_print")
    assert is_test("tests/host/test_tables.py")
    assert not is_test("tests/core/test_tables.py")
    assert not is_test("test_tables.py::test_that_nobody_wrote")
    assert not is_test("tables.py")
