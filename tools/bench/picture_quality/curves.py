"""Is a point better than another family's curve? Said on the same images, at equal sharpness and at equal
consistency.

Repetition is won by doing nothing, and sharpness by a filter. So points are never compared as they stand, and
not on one axis alone. The other family's measure is read off its own curve where that has the point's
sharpness, and where it has the point's consistency, in every resample of the prompts anew.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tools.bench.picture_quality.figures import AXES, JUDGED, MEASURES, Figure, figure

Samples = Mapping[str, np.ndarray]
"""Measure -> sample of one point (see figures.py), all with the same weights."""
LEAST_SHARE = 0.9
"""Part of the resamples in which the other curve must reach the point."""


class Verdict(NamedTuple):
    """The point minus the other curve where it has the same sharpness, and the same consistency."""

    at_sharpness: Figure
    at_consistency: Figure
    word: str
    """better or worse, if both intervals lie on that side; else "not shown"."""


def compare(point: Samples, curve: Sequence[Samples], measure: str) -> Verdict | None:
    """None: the curve does not reach the point's sharpness or consistency."""
    if len(curve) < 2:
        return None
    found = [figure(point[measure] - curve_at(axis, curve, measure, point[axis])) for axis in AXES]
    if any(np.isnan(one.value) or np.isnan(one.low) for one in found):
        return None
    sides = {MEASURES[measure].better * ((one.low > 0) - (one.high < 0)) for one in found}
    side = sides.pop() if len(sides) == 1 else 0
    return Verdict(*found, {1: "better", -1: "worse", 0: "not shown"}[side])


def curve_at(axis: str, curve: Sequence[Samples], measure: str, wanted: np.ndarray) -> np.ndarray:
    """The curve's measure where the axis has a value, resample by resample: straight between points.

    Sharpness counts by its logarithm. Not a number beyond the curve's ends; nothing but such where too few
    resamples reach the value.
    """
    scale = _logarithm if axis == "sharpness" else np.asarray
    xs = scale(np.array([samples[axis] for samples in curve]))
    ys = np.array([samples[measure] for samples in curve])
    order = np.argsort(xs, axis=0)
    xs, ys = np.take_along_axis(xs, order, 0), np.take_along_axis(ys, order, 0)
    places = scale(wanted)
    columns = range(xs.shape[1])
    found = np.array([np.interp(places[i], xs[:, i], ys[:, i], np.nan, np.nan) for i in columns])
    reached = len(found) == 1 or np.isfinite(found[1:]).mean() >= LEAST_SHARE
    return found if reached else np.full_like(found, np.nan)


def _logarithm(values: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(values, 1e-12))


def verdicts(point: Samples, curve: Sequence[Samples]) -> dict[str, Verdict]:
    found = {measure: compare(point, curve, measure) for measure in JUDGED}
    return {measure: verdict for measure, verdict in found.items() if verdict is not None}


def dominates(point: Samples, curve: Sequence[Samples]) -> bool:
    """Better in something and worse in nothing, all shown."""
    words = [verdict.word for verdict in verdicts(point, curve).values()]
    return "better" in words and "worse" not in words
