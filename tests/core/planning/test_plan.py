"""A plan as data."""

import pytest

from freescale_core.geometry import Size
from freescale_core.planning.plan import MAX_SHOWN, CascadePlan, shortened, stages_by_factors

BASE = Size(1024, 1024)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stages": ()}, "at least one stage"),
        ({"stages": (Size(2050, 2048),)}, "multiples of 8 pixels, got 2048x2050: round it"),
        (
            {"stages": (Size(4096, 4096), Size(2048, 2048))},
            "each stage at least 1.1 times the one before, got 4096x4096 -> 2048x2048: enlarge",
        ),
        (
            {"stages": (Size(1024, 1024),)},
            "a target at least 1.1 times the base size, got 1024x1024 -> 1024x1024: enlarge",
        ),
        (
            {"base": Size(56, 1024)},
            "a base size of at least 64x64 pixels, got 1024x56: set the size the model was trained for",
        ),
        (
            {"stages": (Size(2048, 16392),)},
            "at most 16384 pixels a side, got 16392x2048: choose a smaller target or factor",
        ),
        (
            {"base": Size(16392, 2048)},
            "at most 16384 pixels a side, got 2048x16392: choose a smaller target or factor",
        ),
        ({"restart": 1.0}, "below 1, got 1.0"),
        ({"restart": -0.1}, "restart from 0 to below 1, got -0.1"),
        (
            {"method": "nearest"},
            "expected one of bicubic, lanczos, latent bilinear, latent bicubic, got nearest",
        ),
        ({"tiling": "maybe"}, "expected one of auto, on, off, got maybe"),
    ],
)
def test_a_plan_that_cannot_run_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        CascadePlan(**{"base": BASE, "stages": (Size(2048, 2048),), **changes})


def test_stages_by_factors():
    assert stages_by_factors(Size(1216, 832), "1.5, 3") == ((1824, 1248), (3648, 2496))
    for wrong in ("twice", "", "0.5, 2", "1.05", "2, 17", "nan", "inf", "2, 1000"):
        with pytest.raises(ValueError, match=f'from 1.1 to 16.0 such as "2, 4", got "{wrong}"'):
            stages_by_factors(BASE, wrong)


def test_the_smallest_base_and_the_largest_result_are_planned():
    assert CascadePlan(Size(64, 64), (Size(16384, 16384),)).stages == ((16384, 16384),)


def test_a_long_bad_text_is_cut_in_the_message():
    with pytest.raises(ValueError) as error:
        stages_by_factors(BASE, "x" * 5000)
    assert f'got "{"x" * MAX_SHOWN}...": separate' in str(error.value)
    assert shortened("x" * MAX_SHOWN) == "x" * MAX_SHOWN
