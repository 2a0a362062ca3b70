"""`dev.py mutate`: the table fits the tree, and the tool tells killed mutations from survivors."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tools import ROOT
from tools.dev.errors import DevError
from tools.dev.mutate import Mutants, Mutation, read_mutations, select

MUTATIONS = read_mutations()
SUM = Mutation("sums.py", "sums are differences", "a + b", "a - b", ("tests/core/test_sums.py",))
UNSEEN = Mutation("sums.py", "nobody looks at it", "unseen = 1", "unseen = 2", ("tests/core/test_sums.py",))


@pytest.fixture
def toy(tmp_path):
    """A tree with one module and one test."""
    tests = tmp_path / "tests" / "core"
    tests.mkdir(parents=True)
    (tmp_path / "sums.py").write_text("unseen = 1\n\n\ndef total(a, b):\n    return a + b\n")
    (tests / "test_sums.py").write_text(
        "from sums import total\n\n\ndef test_total():\n    assert total(2, 3) == 5\n"
    )
    (tmp_path / "pyproject.toml").write_text('[tool.pytest.ini_options]\npythonpath = ["."]\n')
    return Mutants(tmp_path, lambda tier: Path(sys.executable), dict(os.environ))


def test_every_mutation_has_its_own_name_its_text_once_in_the_tree_and_tests_that_exist():
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS) >= 60
    for mutation in MUTATIONS:
        assert (ROOT / mutation.file).read_text(encoding="utf-8").count(mutation.old) == 1, mutation.name
        assert mutation.tests and mutation.old != mutation.new, mutation.name
        for test in mutation.tests:
            assert (ROOT / test.split("::")[0]).is_file(), mutation.name


def test_what_a_test_notices_is_killed_and_what_none_notices_survives(toy, capsys):
    before = (toy.copy / "sums.py").read_text()
    assert toy.run({1: SUM, 2: UNSEEN}) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("   1 killed") and "sums are differences" in lines[1]
    assert lines[2].strip() == "FAILED tests/core/test_sums.py::test_total"
    assert lines[3].startswith("   2 SURVIVED") and lines[4].strip() == "unseen = 1  ->  unseen = 2"
    assert lines[-1] == "1 passed, 1 failed"
    assert (toy.copy / "sums.py").read_text() == before
    assert toy.run({1: SUM}) == 0
    assert capsys.readouterr().out.endswith("\n1 passed, 0 failed\n")


@pytest.mark.parametrize(
    ("mutation", "said"),
    [
        (replace(SUM, old="a * b"), "expected its text once, found it 0 times: a * b"),
        (replace(SUM, old="a"), "expected its text once, found it 3 times: a"),
        (replace(SUM, new="a +"), "got pytest's exit status 2"),
    ],
)
def test_a_mutation_that_says_nothing_about_the_tests_is_an_error(toy, mutation, said):
    verdict, detail = toy.judge(mutation)
    assert verdict == "BROKEN"
    assert said in detail


def test_tests_that_fail_without_a_mutation_are_an_error(toy):
    (toy.copy / "sums.py").write_text("unseen = 1\n\n\ndef total(a, b):\n    return a + b + 0.5\n")
    with pytest.raises(DevError, match="Expected the tests to pass on an unchanged copy"):
        toy.run({1: SUM})


def test_words_and_numbers_select():
    assert select([SUM, UNSEEN], []) == {1: SUM, 2: UNSEEN}
    assert select([SUM, UNSEEN], ["2"]) == {2: UNSEEN}
    assert select([SUM, UNSEEN], ["Nobody", "differences"]) == {1: SUM, 2: UNSEEN}
    with pytest.raises(DevError, match="number or a part of its line, got product"):
        select([SUM, UNSEEN], ["product"])


def test_a_table_is_read_as_it_is_written(tmp_path):
    file = tmp_path / "mutations.txt"
    file.write_text(
        "# A comment.\n\nsums.py | core/test_sums core/test_all::test_one\n  sums are differences\n"
        "    - a +\n    -     b\n    + a -\n    +     b\n  nobody looks at it\n    - 1\n    +\n"
    )
    tests = ("tests/core/test_sums.py", "tests/core/test_all.py::test_one")
    assert read_mutations(file) == [
        Mutation("sums.py", "sums are differences", "a +\n    b", "a -\n    b", tests),
        Mutation("sums.py", "nobody looks at it", "1", "", tests),
    ]
