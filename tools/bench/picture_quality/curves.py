"""Is a point better than another family's curve? Said at equal sharpness, on the same images.

Repetition and consistency are won by doing nothing, so points are never compared as they stand: the other
family's measure is read off its own curve at the point's sharpness, in every resample of the prompts anew.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tools.bench.picture_quality.figures import JUDGED, MEASURES, interval

Samples = Mapping[str, np.ndarray]
"""Measure -> sample of one point (see figures.py), all with the same weights."""
LEAST_SHARE = 0.9
"""Part of the resamples in which the other curve must reach the point's sharpness."""


class Verdict(NamedTuple):
    """The point minus the other curve at equal sharpness, with its 95 % interval."""

    value: float
    low: float
    high: float
    word: str
    """better, worse or "not shown"."""


def compare(point: Samples, curve: Sequence[Samples], measure: str) -> Verdict | None:
    """None: the curve does not reach the point's sharpness."""
    if len(curve) < 2:
        return None
    difference = point[measure] - at_sharpness(curve, measure, point["sharpness"])
    if np.isnan(difference[0]) or np.isfinite(difference[1:]).mean() < LEAST_SHARE:
        return None
    low, high = interval(difference)
    side = MEASURES[measure].better * ((low > 0) - (high < 0))
    return Verdict(float(difference[0]), low, high, {1: "better", -1: "worse", 0: "not shown"}[side])


def at_sharpness(curve: Sequence[Samples], measure: str, sharpness: np.ndarray) -> np.ndarray:
    """The curve's measure at a sharpness, resample by resample: straight between points, over log sharpness.

    Not a number beyond the curve's ends.
    """
    xs = np.log(np.maximum([samples["sharpness"] for samples in curve], 1e-12))
    ys = np.array([samples[measure] for samples in curve])
    order = np.argsort(xs, axis=0)
    xs, ys = np.take_along_axis(xs, order, 0), np.take_along_axis(ys, order, 0)
    wanted = np.log(np.maximum(sharpness, 1e-12))
    columns = range(xs.shape[1])
    return np.array([np.interp(wanted[i], xs[:, i], ys[:, i], np.nan, np.nan) for i in columns])


def verdicts(point: Samples, curve: Sequence[Samples]) -> dict[str, Verdict]:
    found = {measure: compare(point, curve, measure) for measure in JUDGED}
    return {measure: verdict for measure, verdict in found.items() if verdict is not None}


def dominates(point: Samples, curve: Sequence[Samples]) -> bool:
    """Better in something and worse in nothing, all shown, at equal sharpness."""
    words = [verdict.word for verdict in verdicts(point, curve).values()]
    return "better" in words and "worse" not in words
