"""Which tiers the words of `dev.py test` mean, and how their reports are counted."""

import os
from pathlib import Path

import pytest

from tools.dev import cli, tiers
from tools.dev.errors import DevError
from tools.dev.tiers import read_report, select


@pytest.fixture
def tests(tmp_path: Path) -> Path:
    for tier in ("core", "host", "golden"):
        (tmp_path / tier).mkdir()
        (tmp_path / tier / "test_a.py").touch()
    return tmp_path


def test_without_words_all_tiers_that_have_a_folder(tests: Path) -> None:
    assert select([], tests).paths == {"core": [str(tests / "core")], "host": [str(tests / "host")]}


def test_leading_words_select_tiers_and_the_rest_is_pytests(tests: Path) -> None:
    selection = select(["host", "-k", "core", "-x"], tests)
    assert list(selection.paths) == ["host"]
    assert selection.arguments == ["-k", "core", "-x"]


def test_a_path_narrows_its_tier_and_leaves_the_others_whole(tests: Path) -> None:
    path = f"{tests}/host/test_a.py::test_b"
    assert select(["core", "host", path], tests).paths == {"core": [str(tests / "core")], "host": [path]}


def test_a_path_alone_selects_its_tier(tests: Path) -> None:
    path = str(tests / "core" / "test_a.py")
    assert select([path, "-x"], tests).paths == {"core": [path]}


def test_a_path_outside_the_named_tiers_is_an_error(tests: Path) -> None:
    with pytest.raises(DevError, match=r"got one of host: name that tier too"):
        select(["core", str(tests / "host" / "test_a.py")], tests)


def test_a_tier_without_a_folder_is_an_error(tests: Path) -> None:
    with pytest.raises(DevError, match="the tiers here are core, host"):
        select(["browser"], tests)


def report(folder: Path, **counts: int) -> Path:
    attributes = " ".join(f'{key}="{value}"' for key, value in counts.items())
    file = folder / "report.xml"
    file.write_text(f"<testsuites><testsuite {attributes}/></testsuites>")
    return file


@pytest.mark.parametrize(
    ("counts", "status", "expected"),
    [
        ({"tests": 7, "failures": 0, "errors": 0, "skipped": 0}, 0, (7, 0, 0)),
        ({"tests": 7, "failures": 1, "errors": 2, "skipped": 1}, 1, (3, 3, 1)),
        # a file that cannot be imported
        ({"tests": 1, "failures": 0, "errors": 1, "skipped": 0}, 2, (0, 1, 0)),
        ({"tests": 5, "failures": 0, "errors": 0, "skipped": 0}, 3, (5, 1, 0)),  # broke off
        ({"tests": 0, "failures": 0, "errors": 0, "skipped": 0}, 5, (0, 0, 0)),  # nothing collected
    ],
)
def test_counts(tmp_path: Path, counts: dict[str, int], status: int, expected: tuple[int, int, int]) -> None:
    assert read_report(report(tmp_path, **counts), status) == expected


@pytest.mark.parametrize("status", [0, 1, -11])  # os._exit in a test, one that hung, a crash
def test_an_end_without_a_report_is_a_failure(tmp_path: Path, status: int) -> None:
    assert read_report(tmp_path / "none.xml", status) == (0, 1, 0)


@pytest.mark.parametrize("status", [0, 1])
@pytest.mark.parametrize("text", ["", '<testsuites><testsuite tests="3" failures="0"><testca'])
def test_half_a_report_is_a_failure(tmp_path: Path, text: str, status: int) -> None:
    (tmp_path / "report.xml").write_text(text)
    assert read_report(tmp_path / "report.xml", status) == (0, 1, 0)


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The steps of `dev.py test` in their order; every tier that runs passes three tests."""
    seen: list[str] = []

    def run(host: object, tier: str, paths: list[str], arguments: list[str]) -> tiers.Result:
        seen.append(tier)
        return tiers.Result(tier, 3, 0, 0, 0.1)

    monkeypatch.setattr(cli, "set_up", lambda host: seen.append("set-up"))
    monkeypatch.setattr(tiers, "_run_tier", run)
    monkeypatch.delenv("FREESCALE_BROWSER", raising=False)
    return seen


def test_without_a_browser_the_other_tiers_run_and_the_command_fails_at_its_end(
    done: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(python: Path) -> str:
        raise DevError("Expected a browser, got none: install one.")

    monkeypatch.setattr(cli, "ensure_browser", fail)
    assert cli.main(["test", "core", "host", "browser"]) == 1
    assert done == ["set-up", "core", "host"]
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "Expected a browser, got none: install one.",
        "6 passed, 1 failed",
    ]


def test_no_browser_is_looked_for_without_its_tier(done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "ensure_browser", lambda python: done.append("browser wanted"))
    assert cli.main(["test", "core"]) == 0
    assert cli.main(["test", "browser"]) == 0
    assert done == ["set-up", "core", "set-up", "browser wanted", "browser"]


def test_a_wrong_browser_name_is_told_before_the_set_up(
    done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FREESCALE_BROWSER", "/no/such/browser")
    assert cli.main(["test"]) == 1
    assert done == []


@pytest.mark.parametrize("command", ["test", "pictures"])
def test_a_browser_named_from_the_callers_folder_reaches_the_children_by_its_absolute_path(
    done: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    (tmp_path / "mine").write_text("#!/bin/sh\n")
    (tmp_path / "mine").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FREESCALE_BROWSER", "./mine")
    monkeypatch.setattr(cli, "ensure_browser", lambda python: done.append("browser wanted"))
    monkeypatch.setattr(cli, "_module", lambda *_: 0)
    assert cli.main([command]) == 0
    assert os.environ["FREESCALE_BROWSER"] == str(tmp_path / "mine")
