"""The figures of sets of images, each with what other prompts would have given instead: no network needed.

A sample of a figure is an array: first its value, then the values over sets of prompts drawn with
replacement. Whole prompts are drawn, for images of one prompt are alike.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 1000
LEVEL = (2.5, 97.5)
"""Per cent of the values that lie below the ends of an interval."""


class Measure(NamedTuple):
    """One column. better: +1 more is better, -1 less is better, 0 neither."""

    label: str
    unit: float
    better: int


MEASURES = {
    "sharpness": Measure("sharpness", 1e-3, 0),
    "repetition": Measure("repetition", 1.0, -1),
    "consistency": Measure("consistency", 1.0, 1),
    "kid": Measure("KID of the whole", 1e-3, -1),
    "kid_crops": Measure("KID of crops", 1e-3, -1),
    "kid_lite0": Measure("KID of the whole, by Lite0", 1e-3, -1),
    "kid_crops_lite0": Measure("KID of crops, by Lite0", 1e-3, -1),
    "is": Measure("inception score", 1.0, 0),
}
AXES = ("sharpness", "consistency")
"""What a point and a curve are made equal in before they are compared: detail, and likeness to the base.

A filter buys the first without a model, and doing nothing buys the second."""
JUDGED = ("repetition", "kid", "kid_crops")
"""What verdicts are given on."""


def heading(measure: str) -> str:
    """Of its column."""
    return MEASURES[measure].label + {1.0: "", 1e-3: ", x 1000"}[MEASURES[measure].unit]


class Figure(NamedTuple):
    """value and its 95 % interval."""

    value: float
    low: float
    high: float


def weights_of(prompts: Sequence[str], resamples: int = RESAMPLES) -> np.ndarray:
    """How often each image counts in each entry of a sample, (1 + resamples, images); ones at first.

    Equal prompts give equal weights, so that figures of the same images are paired.
    """
    names = sorted(set(prompts))
    member = np.array([[float(prompt == name) for prompt in prompts] for name in names])
    drawn = np.random.default_rng(0).integers(0, len(names), (resamples, len(names)))
    resampled = member[drawn].sum(axis=1) if len(names) > 1 else np.full((resamples, len(prompts)), np.nan)
    return np.concatenate([np.ones((1, len(prompts))), resampled])


def mean(values: Sequence[float], weights: np.ndarray) -> np.ndarray:
    """Sample of an average over the images."""
    return weights @ np.asarray(values) / weights.sum(axis=1)


def cubic_kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, d), (m, d) -> (n, m): KID's kernel, (a b / d + 1)^3."""
    return (a.astype(np.float64) @ b.astype(np.float64).T / a.shape[1] + 1.0) ** 3


def kid(
    made: np.ndarray,
    across: np.ndarray,
    known: np.ndarray,
    crops: tuple[int, int],
    weights: tuple[np.ndarray, np.ndarray],
    prompts: tuple[Sequence[str], Sequence[str]],
) -> np.ndarray:
    """Sample of the kernel distance, unbiased.

    Only images of different prompts are a pair. Those of one are alike, and a prompt that is drawn twice
    would have twice as many of them.

    Args:
        made, across, known: kernel values among the judged, between these and the known, among the known
        images.
        crops: rows in a row that are of one image, of the judged and of the known.
        weights: of the judged images and of the known.
        prompts: of the judged images and of the known.
    """
    judged, others = prompts
    drawn, known_drawn = weights
    within, between, reference = (
        _by_image(kernel, *sides)
        for kernel, sides in ((made, crops[:1] * 2), (across, crops), (known, crops[1:] * 2))
    )
    pairs, mixed, references = (_differ(*sides) for sides in ((judged,) * 2, prompts, (others,) * 2))
    with np.errstate(invalid="ignore", divide="ignore"):  # One prompt has no pair: not a number.
        own = _weighted(within * pairs, drawn, drawn) / _weighted(pairs, drawn, drawn)
        between = _weighted(between * mixed, *weights) / _weighted(mixed, *weights)
        reference = _weighted(reference * references, known_drawn, known_drawn)
        return own + reference / _weighted(references, known_drawn, known_drawn) - 2 * between


def _differ(rows: Sequence[str], columns: Sequence[str]) -> np.ndarray:
    """1 where two images have different prompts, else 0."""
    return (np.array(rows)[:, None] != np.array(columns)[None]).astype(np.float64)


def _weighted(kernel: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Sum over all pairs, each as often as both of its images count."""
    return (rows @ kernel * columns).sum(axis=1)


def weights_of_known(known: Sequence[str], judged: Sequence[str], weights: np.ndarray) -> np.ndarray:
    """How often each known image counts: as often as a judged one of its prompt.

    So both sets are of the same prompts, whatever is drawn.
    """
    nobody = np.zeros(len(weights))
    return np.stack([weights[:, judged.index(p)] if p in judged else nobody for p in known], axis=1)


def _by_image(kernel: np.ndarray, rows: int, columns: int) -> np.ndarray:
    n, m = kernel.shape
    return kernel.reshape(n // rows, rows, m // columns, columns).mean(axis=(1, 3))


def inception_score(log_classes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sample of exp(mean over images of KL(classes of the image || classes of all)).

    log_classes: (images, classes), logarithms of probabilities.
    """
    classes, share = np.exp(log_classes), weights / weights.sum(axis=1, keepdims=True)
    own = share @ (classes * log_classes).sum(axis=1)
    marginal = share @ classes
    return np.exp(own - (marginal * np.log(np.maximum(marginal, 1e-30))).sum(axis=1))


def figure(sample: np.ndarray) -> Figure:
    return Figure(float(sample[0]), *interval(sample))


def interval(sample: np.ndarray) -> tuple[float, float]:
    low, high = np.nanpercentile(sample[1:], LEVEL) if np.isfinite(sample[1:]).any() else (np.nan, np.nan)
    return float(low), float(high)
