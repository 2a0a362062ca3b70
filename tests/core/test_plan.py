"""A plan as data."""

import pytest

from freescale_core.geometry import Size
from freescale_core.plan import CascadePlan, stages_by_factors

BASE = Size(1024, 1024)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stages": ()}, "at least one stage"),
        ({"stages": (Size(2050, 2048),)}, "multiples of 8 pixels, got 1024x1024 -> 2048x2050"),
        ({"stages": (Size(4096, 4096), Size(2048, 2048))}, "each stage at least 1.1 times the one before"),
        ({"stages": (Size(1024, 1024),)}, "a target at least 1.1 times the base size"),
        ({"restart": 1.0}, "below 1, got 1.0"),
        ({"restart": -0.1}, "restart from 0 to below 1, got -0.1"),
        ({"method": "nearest"}, "expected one of bicubic, lanczos, got nearest"),
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
