"""The log of a campaign: cases by seed and number, findings, and going on after a kill."""

import math
import sys
from types import SimpleNamespace

import pytest

from tools.campaign import runner
from tools.campaign.runner import CaseResult, campaign_until, lines_of, read_log, summary


def drawn(draw):
    number = draw.randrange(10**9)
    return CaseResult("toy", "even" if number % 2 == 0 else "odd", None)


def broken(draw):
    raise ZeroDivisionError("by nothing")


def until(file, cases, campaign=drawn, seed=5):
    return campaign_until(campaign, seed, file, math.inf, cases)


def endings(lines):
    return [line.ending for line in lines]


def test_a_case_is_decided_by_the_seed_and_its_number(tmp_path):
    whole = endings(until(tmp_path / "a", 20))
    assert endings(until(tmp_path / "b", 20)) == whole
    assert endings(until(tmp_path / "c", 20, seed=6)) != whole
    assert next(lines_of(drawn, 5, first=13)).ending == whole[13]


@pytest.mark.parametrize("torn", ["", '{"case": 7, "sub', '{"case": 7}\n'])
def test_a_campaign_goes_on_behind_the_last_whole_line(tmp_path, torn):
    file = tmp_path / "log"
    first = until(file, 7)
    with file.open("a") as log:
        log.write(torn)
    lines = until(file, 20)
    assert lines[:7] == first and [line.case for line in lines] == list(range(20))
    assert read_log(file) == lines
    assert endings(lines) == endings(until(tmp_path / "other", 20))


def test_no_case_begins_after_the_deadline_or_beyond_the_most(tmp_path):
    begun = []

    def counted(draw):
        begun.append(draw)
        return drawn(draw)

    assert campaign_until(counted, 5, tmp_path / "log", -math.inf, 20) == []
    assert begun == []
    assert len(until(tmp_path / "log", 3, counted)) == 3 == len(begun)
    assert len(until(tmp_path / "log", 3, counted)) == 3 == len(begun)


def test_an_exception_is_a_finding_that_says_where_it_was_raised(tmp_path, capsys):
    (line,) = until(tmp_path / "log", 1, broken)
    assert line.found.startswith("ZeroDivisionError at test_campaign_runner.py:")
    assert summary([line])["found"] == [f"case 0, unknown: {line.found}"]
    assert line.found in capsys.readouterr().out


def test_the_figures_of_a_log(tmp_path):
    lines = until(tmp_path / "log", 20)
    figures = summary(lines)
    assert figures["cases"] == 20 == sum(figures["endings"].values()) == figures["subjects"]["toy"]
    assert figures["endings"]["odd"] == endings(lines).count("odd") and figures["found"] == []


CODE = ("nodes/inner/code.py", "freescale_core/code.py", "tools/campaign/toys.py", "tools/harness/parts.py")


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with a campaign of toys, which imports a part, and with another campaign."""
    for file in (*CODE, "tools/campaign/others.py"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("")
    (tmp_path / CODE[2]).write_text("from tools.harness import parts\ndef run_case(draw): ...\n")
    monkeypatch.setattr(runner, "ROOT", tmp_path)
    monkeypatch.setattr(runner, "FOLDER", tmp_path / "tools" / "campaign")
    monkeypatch.setattr(runner, "LOGS", tmp_path / "logs")
    monkeypatch.setattr(runner, "campaigns", lambda: {"toys": ""})
    monkeypatch.setattr(runner.logging, "disable", lambda level: None)
    monkeypatch.setitem(sys.modules, "tools.campaign.toys", SimpleNamespace(run_case=broken))
    return tmp_path


@pytest.mark.parametrize("file", CODE)
def test_a_finding_is_not_carried_over_to_other_code(checkout, monkeypatch, file):
    words = ["toys", "--cases", "2"]
    assert runner.main(words) == 1 == runner.main(words)
    monkeypatch.setattr(sys.modules["tools.campaign.toys"], "run_case", drawn)
    assert runner.main(words) == 1
    with (checkout / file).open("a") as code:
        code.write("mended = True\n")
    assert runner.main(words) == 0


def test_a_log_goes_on_when_another_campaign_changes(checkout, monkeypatch):
    assert runner.main(["toys", "--cases", "2"]) == 1
    monkeypatch.setattr(sys.modules["tools.campaign.toys"], "run_case", drawn)
    (checkout / "tools" / "campaign" / "others.py").write_text("changed = True\n")
    assert runner.main(["toys", "--cases", "2"]) == 1


def test_a_campaign_is_a_file_with_cases():
    names = runner.campaigns()
    assert {"interrupts", "memory", "fuzz", "route"} <= set(names)
    assert {"runner", "page", "__init__"}.isdisjoint(names)
    assert all(text.split("\n\n")[0].endswith(".") for text in names.values())


def test_without_a_name_the_campaigns_are_listed(capsys):
    assert runner.main([]) == 0
    assert "interrupts " in capsys.readouterr().out
