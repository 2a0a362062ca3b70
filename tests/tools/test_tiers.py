"""Which tiers the words of `dev.py test` mean, and how their reports are counted."""

import pytest

from tools.dev.errors import DevError
from tools.dev.paths import TESTS
from tools.dev.tiers import processes, read_report, select


@pytest.fixture
def tests(tmp_path):
    for tier in ("core", "host", "golden"):
        (tmp_path / tier).mkdir()
        (tmp_path / tier / "test_a.py").touch()
    return tmp_path


def test_words_select_tiers_and_paths_narrow_them(tests):
    core, host = str(tests / "core"), str(tests / "host")
    path = f"{host}/test_a.py::test_b"
    for words, paths, rest in (
        ([], {"core": [core], "host": [host]}, []),  # those that have a folder
        (["host", "-k", "core", "-x"], {"host": [host]}, ["-k", "core", "-x"]),
        (["core", "host", path], {"core": [core], "host": [path]}, []),
        ([path, "-x"], {"host": [path]}, ["-x"]),
    ):
        assert select(words, tests) == (paths, rest)


def test_paths_outside_the_named_tiers_and_tiers_without_a_folder_are_refused(tests):
    with pytest.raises(DevError, match=r"got one of host: name that tier too"):
        select(["core", str(tests / "host" / "test_a.py")], tests)
    with pytest.raises(DevError, match="the tiers here are core, host"):
        select(["browser"], tests)


def test_only_whole_tiers_are_spread_over_processes():
    host, batch = str(TESTS / "host"), str(TESTS / "batch")
    for tier in ("host", "server"):
        assert "--numprocesses=2" in processes(tier, [str(TESTS / tier)], [])
    for tier, paths, arguments in (
        ("host", [host], ["--pdb"]),
        ("host", [f"{host}/test_imports.py"], []),
        ("batch", [batch], []),  # Ray takes both cores
    ):
        assert processes(tier, paths, arguments) == ()


@pytest.mark.parametrize(
    ("counts", "status", "expected"),
    [
        ("tests='7' failures='0' errors='0' skipped='0'", 0, (7, 0, 0)),
        ("tests='7' failures='1' errors='2' skipped='1'", 1, (3, 3, 1)),
        ("tests='1' failures='0' errors='1' skipped='0'", 2, (0, 1, 0)),  # a file that cannot be imported
        ("tests='5' failures='0' errors='0' skipped='0'", 3, (5, 1, 0)),  # broke off
        ("tests='0' failures='0' errors='0' skipped='0'", 5, (0, 0, 0)),  # nothing collected
    ],
)
def test_counts(tmp_path, counts, status, expected):
    (tmp_path / "report.xml").write_text(f"<testsuites><testsuite {counts}/></testsuites>")
    assert read_report(tmp_path / "report.xml", status) == expected


@pytest.mark.parametrize("status", [0, 1, -11])  # os._exit in a test, one that hung, a crash
def test_no_report_and_half_a_report_are_a_failure(tmp_path, status):
    assert read_report(tmp_path / "none.xml", status) == (0, 1, 0)
    (tmp_path / "half.xml").write_text('<testsuites><testsuite tests="3" failures="0"><testca')
    assert read_report(tmp_path / "half.xml", status) == (0, 1, 0)
