"""Bootstrap intervals.

Whole prompts are drawn, for pictures of one prompt are alike: the interval says what other prompts would
change.
"""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import DegenerateDataWarning, bootstrap

RESAMPLES = 2000
LEVEL = 0.95

Statistic = Callable[[np.ndarray], float]
"""Value of a figure when picture i counts weights[i] times."""


def mean_of(values: Sequence[float]) -> Statistic:
    known = np.asarray(values, dtype=np.float64)
    return lambda weights: float(weights @ known / weights.sum())


def interval(statistic: Statistic, prompts: Sequence[str]) -> tuple[float, float]:
    """95 % of the values (percentiles) over sets of prompts drawn with replacement. prompts: of each
    picture."""
    names = sorted(set(prompts))
    member = np.array([[float(prompt == name) for prompt in prompts] for name in names])  # (prompt, picture)
    if len(names) < 2:
        return (float("nan"), float("nan"))

    def of(drawn: np.ndarray) -> float:
        return statistic(member[drawn].sum(axis=0))

    data, rng = (np.arange(len(names)),), np.random.default_rng(0)
    with warnings.catch_warnings():
        # Two prompts are too few, and the answer is then not a number.
        warnings.simplefilter("ignore", DegenerateDataWarning)
        done = bootstrap(
            data,
            of,
            vectorized=False,
            n_resamples=RESAMPLES,
            confidence_level=LEVEL,
            method="percentile",
            rng=rng,
        )
    return float(done.confidence_interval.low), float(done.confidence_interval.high)
