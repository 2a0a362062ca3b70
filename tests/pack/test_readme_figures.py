"""Figures in texts for users are those that FreeScale Plan shows, or those that were measured on a GPU."""

import json

import pytest

from freescale_core.geometry import Size
from freescale_core.planning.plan import CascadePlan
from freescale_core.planning.report import report
from tools import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
MEASURED = json.loads((ROOT / "docs/performance/gpu_nvidia_h100_80gb_hbm3.json").read_text(encoding="utf-8"))[
    "steps"
]
BASE = Size(1024, 1024)


@pytest.mark.parametrize(
    ("factors", "sentence"),
    [
        ((2,), "{exact:.1f} against {direct:.1f} at 2k"),
        ((2, 4), "{exact:.1f} (*Balanced* {fast:.1f}) against {direct:.1f}\n  at 4k"),
        ((2, 4, 8), "{exact:.0f} (*Balanced* {fast:.0f}) against {direct:.0f} at 8k"),
    ],
)
def test_cost_in_base_pictures(factors, sentence):
    numbers = report(CascadePlan(BASE, tuple(Size(1024 * factor, 1024 * factor) for factor in factors)))
    assert sentence.format(exact=numbers.exact, fast=numbers.balanced, direct=numbers.direct) in README


def test_the_times_beside_the_table_of_cards_are_the_plans():
    two, four, eight = (
        report(CascadePlan(BASE, tuple(Size(1024 * factor, 1024 * factor) for factor in factors)))
        for factors in ((2,), (2, 4), (2, 4, 8))
    )
    said = f"2k {two.exact:.1f}, 4k {four.exact:.1f} at speed *Exact* and {four.balanced:.1f} at *Balanced*, "
    assert f"{said}8k {eight.balanced:.0f} at *Balanced*" in README
    assert round(four.balanced * 15 / 60) == 6 and "4k at *Balanced* takes about six minutes" in README


def test_what_ran_on_smaller_cards():
    found = {
        (row["card_gib"], row["side"], row["variant"]): row["outcome"] for row in MEASURED["limits"]["rows"]
    }
    assert found[24, 8192, "Fast"] == found[12, 4096, "Balanced"] == "runs"
    assert found[12, 8192, "Fast"] == "out of memory"
    text = " ".join(README.split())
    assert (
        "24 GB were enough for a step of the UNet at 8k and speed *Fast*, 12 GB for one at 4k and *Balanced* "
        "but not at 8k" in text
    )


def test_what_chunks_do_to_rounding():
    assert all(row["error"] < 2e-3 for row in MEASURED["memory_runs_out"]["rows"])
    assert "on a GPU in fp16, one step by a thousandth" in README


def test_how_much_longer_a_step_at_8k_takes_at_the_other_speeds():
    took = {row["variant"]: row["milliseconds"] for row in MEASURED["large_calls"]["rows"]}
    note = (ROOT / "workflows/FreeScale 11 Text to 8k.json").read_text(encoding="utf-8")
    assert f"a step is {took['Balanced'] / took['Fast']:.1f} times as long" in note
    assert f"as published, {took['Exact'] / took['Fast']:.0f} times as long (an 8k step on an H100)" in note
