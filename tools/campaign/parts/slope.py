"""How fast a measured quantity grows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Slope:
    """Growth per value, and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3g} ({self.low:.3g} to {self.high:.3g})"


def slope_of(values: Sequence[float]) -> Slope:
    """The line of least squares through at least three values.

    The interval is Student's for independent errors. What moves in steps, such as memory that an allocator
    gives back late, is not independent: its interval is too narrow.
    """
    x, y = np.arange(len(values)) - (len(values) - 1) / 2, np.asarray(values, float)
    mean = (x @ y) / (x @ x)
    residuals = y - y.mean() - mean * x
    error = np.sqrt((residuals @ residuals) / (len(y) - 2) / (x @ x))
    reach = error * stats.t.ppf((1 + CONFIDENCE) / 2, len(y) - 2)
    return Slope(float(mean), float(mean - reach), float(mean + reach))
