"""FreeScale against direct sampling at twice the training size, judged by numbers: the small brother of `dev.py bench quality`."""

from dataclasses import replace
from statistics import mean

import pytest
import torch

from bench.picture_quality.methods import as_bytes, base_latent, decoded, picture
from bench.picture_quality.metrics import consistency, repetition
from bench.picture_quality.pictures import as_tensor
from bench.picture_quality.settings import METHODS, Group

STEPS, SEED = 10, 100
PROMPTS = ("house on a pink background", "penguin on a teal background", "robot on a blue background")
GROUP = Group("2x", (256, 256), ((512, 512),), {}, (SEED,), STEPS)
LESS_REPETITION, MORE_CONSISTENCY = 0.05, 0.05
"""By how much FreeScale must be better than direct sampling, on average over PROMPTS."""


@pytest.fixture(scope="module")
def judged():
    """Method -> (repetition, consistency), averages over PROMPTS."""
    found = {"direct": [], "full": []}
    with torch.inference_mode():
        for text in PROMPTS:
            base = base_latent(GROUP, text, SEED)
            known = as_tensor(as_bytes(decoded(base)))
            for name, scores in found.items():
                made = as_tensor(picture(replace(METHODS[name], steps=STEPS), GROUP, text, SEED, base))
                scores.append((repetition(made, known), consistency(made, known)))
    return {name: tuple(mean(values) for values in zip(*scores, strict=True)) for name, scores in found.items()}


def better(ours, other):
    return other[0] - ours[0] > LESS_REPETITION and ours[1] - other[1] > MORE_CONSISTENCY


def test_freescale_repeats_less_and_keeps_more_of_the_base_picture_than_direct_sampling(judged):
    assert better(judged["full"], judged["direct"]), judged


def test_the_check_says_no_when_both_are_swapped_or_equal(judged):
    assert not better(judged["direct"], judged["full"])
    assert not better(judged["full"], judged["full"])
