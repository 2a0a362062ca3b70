"""When `dev.py bench quality` calls a point better or worse than a curve, on made-up figures."""

import math

import numpy as np
import pytest

from tools.bench.picture_quality.curves import ONE_AXIS, compare, standing
from tools.bench.picture_quality.figures import mean, weights_of

WEIGHTS = weights_of([str(i) for i in range(20)])
UNEVEN = np.linspace(-0.1, 0.1, 20)
"""How the prompts differ in what is measured."""


def point(sharpness, kid, spread=UNEVEN, consistency=None, second=None):
    """A point whose images differ by prompt. Where nothing is said, consistency falls as sharpness grows, and
    the second judge finds the same KID."""
    consistency = 0.8 - 0.1 * math.log10(sharpness) if consistency is None else consistency
    values = {"sharpness": [sharpness] * 20, "kid": kid + spread, "kid_crops": [0.1] * 20}
    values |= {"kid_lite0": (kid if second is None else second) + spread, "kid_crops_lite0": [0.1] * 20}
    values |= {"repetition": [0.2] * 20, "consistency": [consistency] * 20}
    return {name: mean(of_prompts, WEIGHTS) for name, of_prompts in values.items()}


CURVE = [point(0.01, 1.0), point(1.0, 3.0), point(0.1, 2.0)]


@pytest.mark.parametrize(("kid", "word"), [(1.45, "better"), (1.55, "worse"), (1.5, "not shown")])
def test_a_point_is_compared_with_a_curve_at_its_own_sharpness_and_consistency(kid, word):
    """Halfway, on a log scale, between 0.01 and 0.1 the curve is at 1.5. The same prompts are drawn for both,
    so that what prompts differ by falls out."""
    found = compare(point(math.sqrt(0.01 * 0.1), kid), CURVE, "kid")
    assert found.word == word
    assert found.at_sharpness == pytest.approx((kid - 1.5,) * 3)
    assert found.at_consistency == pytest.approx((kid - 1.5,) * 3)


def test_a_lead_on_one_axis_alone_is_none():
    """1.45 is better than the curve at this sharpness, 1.5, and worse than at that consistency, 1.35."""
    sharpness = math.sqrt(0.01 * 0.1)
    consistency = 0.8 - 0.1 * math.log10(sharpness)
    found = compare(point(sharpness, 1.45, consistency=consistency + 0.015), CURVE, "kid")
    assert found.at_sharpness.high < 0 < found.at_consistency.low and found.word == "not shown"
    found = compare(point(10**-1.35, 1.6, consistency=consistency - 0.03), CURVE, "kid")
    assert found.at_consistency.high < 0 and found.at_sharpness.high < 0 and found.word == "better"


def test_prompts_that_disagree_leave_the_difference_open():
    found = compare(point(0.05, 1.45 + math.log10(5) - 0.5, -3 * UNEVEN), CURVE, "kid").at_sharpness
    assert found.low < 0 < found.high


@pytest.mark.parametrize("second", [1.55, 1.5])
def test_a_lead_in_kid_that_the_second_judge_does_not_see_is_none(second):
    found = compare(point(math.sqrt(0.01 * 0.1), 1.45, second=second), CURVE, "kid")
    assert found.at_sharpness.high < 0 and found.at_consistency.high < 0 and found.word == "not shown"
    assert found.second == (pytest.approx((second - 1.5,) * 3),) * 2


@pytest.mark.parametrize("sharpness", [0.009, 1.1])
def test_nothing_is_said_beyond_a_curves_ends_or_from_one_point(sharpness):
    assert compare(point(sharpness, 1.0), CURVE, "kid") is None
    assert compare(point(0.01, 1.0), CURVE[:1], "kid") is None
    assert standing(point(sharpness, 0.0), CURVE) == "not comparable"


@pytest.mark.parametrize(("sharpness", "consistency"), [(0.009, 0.9), (1.1, 0.9), (0.1, 1.1), (0.1, 0.7)])
def test_a_curve_that_reaches_a_point_on_one_axis_alone_gives_a_figure_and_no_verdict(sharpness, consistency):
    found = compare(point(sharpness, 1.0, consistency=consistency), CURVE, "kid")
    unknown = [math.isnan(one.value) for one in (found.at_sharpness, found.at_consistency)]
    assert unknown == [sharpness != 0.1, sharpness == 0.1] and found.word == ONE_AXIS
    assert standing(point(sharpness, 0.0, consistency=consistency), CURVE) == "not comparable"


def test_who_is_better_in_one_thing_and_worse_in_another_is_neither():
    better = point(0.1, 1.9)
    assert standing(better, CURVE) == "better"
    assert standing(point(0.1, 2.1), CURVE) == "worse"
    assert standing(point(0.1, 2.0), CURVE) == "neither"
    assert standing(better | {"repetition": mean([0.3] * 20, WEIGHTS)}, CURVE) == "neither"
    assert standing(better | {"repetition": mean([0.1] * 20, WEIGHTS)}, CURVE) == "better"
