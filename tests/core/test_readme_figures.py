"""README's figures of cost are those that FreeScale Plan shows."""

from pathlib import Path

import pytest

from freescale_core.geometry import Size
from freescale_core.plan import CascadePlan
from freescale_core.plan_report import report

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
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
    assert sentence.format(exact=numbers.exact, fast=numbers.fast, direct=numbers.direct) in README
