"""docs/RELIABILITY.md is what its record and its texts say, and the record what the logs held."""

import json
import os

import pytest

from tools.campaign import page
from tools.campaign.runner import CaseResult, campaign_until, campaigns


def record():
    return json.loads(page.RECORD.read_text(encoding="utf-8"))


def test_the_page_is_written_from_the_record():
    written = page.PAGE.read_text(encoding="utf-8")
    assert written == page.page(record()), "expected the page as written: python3 dev.py campaign page"


def test_every_campaign_is_on_the_page():
    assert all(f"\n**{name}**: " in page.page(record()) for name in campaigns())


def test_a_campaign_without_figures_is_named(monkeypatch):
    monkeypatch.setattr(page, "campaigns", lambda: {"fuzz": "Does.", "soak": "Does."})
    known = [row for row in record() if row["campaign"] == "fuzz"]
    assert "\nNot run for the record yet: soak.\n" in page.page(known)
    assert "Not run for the record yet: fuzz, soak.\n" in page.page([])


def test_the_figures_of_a_row_agree():
    for row in record():
        assert row["cases"] == sum(row["endings"].values()) == sum(row["subjects"].values()) > 0


@pytest.fixture
def logs(tmp_path):
    """Three cases with an older state of the code, then two seeds of two cases with a newer."""
    for number, (name, cases) in enumerate(
        {
            "fuzz-0.30.0-0000000a-1": 3,
            "fuzz-0.30.0-0000000b-1": 2,
            "fuzz-0.30.0-0000000b-7": 2,
            "notes": 1,
            "soak-0.30.0-0000000b-1": 0,
        }.items()
    ):
        file = tmp_path / f"{name}.jsonl"
        toy = CaseResult("toy", "result", "a | b", {"memory": "1 MiB a prompt"})
        campaign_until(lambda draw, toy=toy: toy, 1, file, float("inf"), cases)
        os.utime(file, (number, number))
    return tmp_path


def test_the_code_that_ran_last_counts_with_all_its_seeds(logs):
    (row,) = page.rows_of(logs)
    assert (row["campaign"], row["host"], row["code"]) == ("fuzz", "0.30.0", "0000000b")
    assert (row["seeds"], row["cases"], row["endings"]) == ([1, 7], 4, {"result": 4})


def test_a_campaign_without_a_log_keeps_its_figures(logs):
    known = record()
    rows = page.updated(known, page.rows_of(logs))
    place = ("fuzz", "0.30.0")
    assert {(row["campaign"], row["host"]) for row in rows} == {
        *((row["campaign"], row["host"]) for row in known),
        place,
    }
    assert [row for row in rows if (row["campaign"], row["host"]) != place] == [
        row for row in known if (row["campaign"], row["host"]) != place
    ]


def test_a_campaign_that_is_gone_leaves_the_page(logs):
    gone = page.rows_of(logs)[0] | {"campaign": "gone"}
    assert page.updated([gone], []) == []


def test_a_broken_promise_stands_on_the_page(logs):
    text = page.page(page.rows_of(logs))
    assert "| fuzz | 0.30.0 | 4 | 0 | result 4 | 4 |" in text
    assert "| fuzz | 0.30.0 | case 0, toy: a \\| b |" in text
    assert "| fuzz | 0.30.0 | memory | 1 MiB a prompt |" in text
