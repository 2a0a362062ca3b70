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
SECOND_JUDGE = {"kid": ("kid_lite0",), "kid_crops": ("kid_crops_lite0",)}
"""What has to say the same before a measure's difference is called shown."""
ONE_AXIS = "one axis"


class Verdict(NamedTuple):
    """The point minus the other curve where it has the same sharpness, and the same consistency."""

    at_sharpness: Figure
    at_consistency: Figure
    word: str
    """better or worse, if both intervals lie on that side, by both judges; else "not shown". ONE_AXIS: on the
    other axis, whose figure is not a number, the curve does not reach the point."""
    second: tuple[Figure, ...] = ()
    """The same two figures by the second judge, if the measure has one."""


def by_judges(measure: str) -> tuple[str, ...]:
    """The measure itself and, where a network judges, the same by the second one."""
    return measure, *SECOND_JUDGE.get(measure, ())


def compare(point: Samples, curve: Sequence[Samples], measure: str) -> Verdict | None:
    """None: the curve reaches neither the point's sharpness nor its consistency."""
    if len(curve) < 2:
        return None
    judges = [
        [figure(point[name] - curve_at(axis, curve, name, point[axis])) for axis in AXES]
        for name in by_judges(measure)
    ]
    found, second = judges[0], tuple(one for seen in judges[1:] for one in seen)
    reached = [not (np.isnan(one.value) or np.isnan(one.low)) for one in found]
    if not all(reached):
        return Verdict(*found, ONE_AXIS, second) if any(reached) else None
    sides = {MEASURES[measure].better * ((one.low > 0) - (one.high < 0)) for seen in judges for one in seen}
    side = sides.pop() if len(sides) == 1 else 0
    return Verdict(*found, {1: "better", -1: "worse", 0: "not shown"}[side], second)


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


def standing(point: Samples, curve: Sequence[Samples]) -> str:
    """better: in something, and worse in nothing, all shown; worse likewise; neither; or not comparable."""
    words = {verdict.word for verdict in verdicts(point, curve).values()} - {ONE_AXIS}
    if not words:
        return "not comparable"
    sides = words & {"better", "worse"}
    return sides.pop() if len(sides) == 1 else "neither"
