"""What a long row of prompts is judged by: the slope of each quantity, its interval and its bound."""

import random

import pytest

from tools.campaign import soak
from tools.campaign.parts.slope import slope_of


def steps(per_prompt, noise=0.0, prompts=300):
    draw = random.Random(1)
    return [1000 + per_prompt * number + draw.gauss(0, noise) for number in range(prompts)]


def test_a_straight_line_has_its_own_slope_and_no_interval():
    slope = slope_of(steps(0.5))
    assert (slope.mean, slope.low, slope.high) == pytest.approx((0.5, 0.5, 0.5))


def test_the_interval_is_that_of_the_textbook():
    """By hand: x = -1, 0, 1 gives a slope of 1/2; one degree of freedom, t = 12.706."""
    slope = slope_of([0.0, 0.0, 1.0])
    reach = 12.7062 * (1 / 6 / 1 / 2) ** 0.5
    assert (slope.mean, slope.low, slope.high) == pytest.approx((0.5, 0.5 - reach, 0.5 + reach), rel=1e-4)


def test_19_of_20_intervals_hold_the_true_slope():
    draw = random.Random(3)
    intervals = [slope_of([2.0 * x + draw.gauss(0, 5) for x in range(40)]) for _ in range(1000)]
    assert 0.93 < sum(slope.low < 2.0 < slope.high for slope in intervals) / 1000 < 0.97


@pytest.mark.parametrize("quantity", soak.BOUNDS)
def test_a_leak_of_twice_the_bound_is_found_and_half_of_it_is_not(quantity):
    bound = soak.BOUNDS[quantity]
    figures, grown = soak.growth({quantity: steps(2 * bound, noise=20 * bound)})
    assert grown and grown[0].startswith(f"{quantity} grows by ")
    assert set(figures) == {quantity}
    assert soak.growth({quantity: steps(bound / 2, noise=20 * bound)})[1] == []


def test_the_warm_up_is_no_leak():
    filling = [float(min(number, 90)) for number in range(300)]
    assert soak.growth({"memory": filling})[1] == []
    assert soak.growth({"memory": [float(min(number, 200)) for number in range(300)]})[1] != []


def test_a_time_is_compared_with_those_of_the_same_template():
    assert soak._relative([("a", 1.0), ("b", 10.0), ("a", 2.0), ("a", 3.0), ("b", 10.0)]) == [
        0.5,
        1.0,
        1.0,
        1.5,
        1.0,
    ]
