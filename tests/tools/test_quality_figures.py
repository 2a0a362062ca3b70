"""KID, the inception score and their intervals, by hand."""

import math

import numpy as np
import pytest

from tools.bench.picture_quality.figures import (
    Figure,
    cubic_kernel,
    figure,
    inception_score,
    kid,
    mean,
    weights_of,
    weights_of_known,
)


def linear_kid(made, reference, weights, crops=(1, 1), prompts=("abcd", "efgh"), known=None):
    images = [len(values) // count for values, count in zip((made, reference), crops, strict=True)]
    made, reference = (np.array(values, dtype=float)[:, None] for values in (made, reference))
    kernels = made @ made.T, made @ reference.T, reference @ reference.T
    names = tuple(list(letters[:count]) for letters, count in zip(prompts, images, strict=True))
    known = np.ones((len(weights), images[1])) if known is None else np.array(known, dtype=float)
    return kid(*kernels, crops, (np.array(weights, dtype=float), known), names)


def test_kid_by_hand():
    """Kernel a b: made 1, 3 (their pair: 3), reference 2, 4 (8), across all pairs (1 + 3) (2 + 4) / 4 = 6."""
    once, weighted, single = linear_kid([1, 3], [2, 4], [[1, 1], [3, 1], [2, 0]])
    assert once == pytest.approx(3 + 8 - 2 * 6)
    assert weighted == pytest.approx(3 + 8 - 2 * (3 * 1 + 3) / 4 * 3)
    assert math.isnan(single)  # one image has no pair


def test_kid_is_against_known_images_of_the_prompts_at_hand():
    """Of the reference 2, 4, 9 the last one counts not: as if it were not there."""
    assert linear_kid([1, 3], [2, 4, 9], [[1, 1]], known=[[1, 1, 0]]) == pytest.approx(3 + 8 - 2 * 6)
    weights = np.array([[1.0, 1.0, 1.0], [2.0, 2.0, 0.0]])
    known = weights_of_known(["b", "c", "a"], ["a", "a", "b"], weights)
    assert known.tolist() == [[1, 0, 1], [0, 0, 2]]


def test_crops_of_one_image_are_no_pair():
    """Crops 1, 3 | 5, 7 of two images: pairs across images alone, (1 + 3) (5 + 7) / 4 = 12."""
    assert linear_kid([1, 3, 5, 7], [0] * 2, [[1, 1]], (2, 1)) == pytest.approx(12)
    assert linear_kid([0] * 2, [1, 3, 5, 7], [[1, 1]], (1, 2)) == pytest.approx(12)


def test_images_of_one_prompt_are_no_pair():
    """Across, 1 meets 4 and 3 meets 2: (4 + 6) / 2 = 5; of 1, 3, 5 with the prompts a, a, b the pairs are
    (1, 5) and (3, 5): (5 + 15) / 2 = 10."""
    assert linear_kid([1, 3], [2, 4], [[1, 1]], prompts=("ab", "ab")) == pytest.approx(3 + 8 - 2 * 5)
    assert linear_kid([1, 3, 5], [0] * 2, [[1, 1, 1]], prompts=("aab", "cd")) == pytest.approx(10)


def test_kid_of_drawn_prompts_lies_around_that_of_the_images_with_two_of_each_prompt_too():
    random = np.random.default_rng(0)
    names = [f"prompt {i}" for i in range(20)]
    means = random.normal(size=(20, 8))
    made, reference = (np.concatenate([means + 0.1 * random.normal(size=(20, 8))] * 2) for _ in range(2))
    kernels = cubic_kernel(made, made), cubic_kernel(made, reference), cubic_kernel(reference, reference)
    sample = kid(*kernels, (1, 1), (weights_of(names * 2),) * 2, (names * 2, names * 2))
    assert abs(sample[1:].mean() - sample[0]) < 0.2 * sample[1:].std()


def test_kids_kernel_is_the_cubic_one():
    assert cubic_kernel(np.array([[1.0, 2.0]]), np.array([[3.0, 1.0]])).item() == (5 / 2 + 1) ** 3


def test_the_inception_score_counts_the_classes_that_are_seen_for_sure():
    sure = np.log(np.array([[0.998, 0.001, 0.001], [0.001, 0.998, 0.001]]))
    weights = weights_of(["a", "b"])
    assert inception_score(sure, weights)[0] == pytest.approx(2, rel=0.03)
    assert inception_score(sure[[0, 0]], weights)[0] == pytest.approx(1)
    assert inception_score(np.full((2, 3), math.log(1 / 3)), weights)[0] == pytest.approx(1)


def test_intervals_draw_whole_prompts():
    weights = weights_of(["a", "a", "b", "b"])
    assert figure(mean([0.0, 0.0, 1.0, 1.0], weights)) == Figure(0.5, 0.0, 1.0)
    assert figure(mean([0.5] * 4, weights)) == Figure(0.5, 0.5, 0.5)
    assert all(map(math.isnan, figure(mean([0.0, 1.0], weights_of(["a", "a"])))[1:]))
