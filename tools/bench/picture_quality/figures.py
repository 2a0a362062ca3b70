"""The figures of a table, each with what other prompts would have given instead: no network needed.

A sample of a figure is an array: first its value, then the values over sets of prompts drawn with
replacement. Whole prompts are drawn, for pictures of one prompt are alike.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 2000
LEVEL = (2.5, 97.5)
"""Per cent of the values that lie below the ends of an interval."""


class Figure(NamedTuple):
    """value and its 95 % interval; difference: this row minus another on the same pictures, with its 95 %
    interval."""

    value: float
    interval: tuple[float, float] | None = None
    difference: tuple[float, float, float] | None = None


def weights_of(prompts: Sequence[str]) -> np.ndarray:
    """How often each picture counts in each entry of a sample, (1 + RESAMPLES, pictures); ones at first."""
    names = sorted(set(prompts))
    member = np.array([[float(prompt == name) for prompt in prompts] for name in names])
    drawn = np.random.default_rng(0).integers(0, len(names), (RESAMPLES, len(names)))
    resampled = member[drawn].sum(axis=1) if len(names) > 1 else np.full((RESAMPLES, len(prompts)), np.nan)
    return np.concatenate([np.ones((1, len(prompts))), resampled])


def mean(values: Sequence[float], weights: np.ndarray) -> np.ndarray:
    """Sample of an average over the pictures."""
    return weights @ np.asarray(values) / weights.sum(axis=1)


def kid(
    made: np.ndarray, across: np.ndarray, reference: np.ndarray, crops: int, weights: np.ndarray
) -> np.ndarray:
    """Sample of the kernel distance, unbiased, from kernel values of `crops` crops in a row for each picture.

    Crops of one picture are no pair, nor are a picture and its copy: they would not be independent.
    """

    def by_picture(kernel: np.ndarray) -> np.ndarray:
        n, m = (side // crops for side in kernel.shape)
        return kernel.reshape(n, crops, m, crops).mean(axis=(1, 3))

    within, between, known = map(by_picture, (made, across, reference))
    np.fill_diagonal(within, 0.0)
    np.fill_diagonal(known, 0.0)
    count, total = len(known), weights.sum(axis=1)
    with np.errstate(invalid="ignore"):  # One picture has no pair: not a number.
        own = (weights @ within * weights).sum(axis=1) / (total**2 - np.square(weights).sum(axis=1))
    return own + known.sum() / (count * (count - 1)) - 2 * (weights @ between.mean(axis=1)) / total


def figure(sample: np.ndarray, other: np.ndarray | None) -> Figure:
    """other: sample of the row to compare with."""
    if len(sample) == 1:
        return Figure(float(sample[0]))
    if other is None or other is sample:
        return Figure(float(sample[0]), interval(sample))
    less = sample - other
    return Figure(float(sample[0]), interval(sample), (float(less[0]), *interval(less)))


def interval(sample: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(sample[1:], LEVEL)
    return float(low), float(high)
