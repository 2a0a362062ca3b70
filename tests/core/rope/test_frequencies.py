"""Rotations and NTK: rotations add up, and the lowest frequency turns as far as in training."""

import math

import pytest
import torch

from freescale_core.rope.attention_scale import cinescale_factor, sqrt_log_ratio
from freescale_core.rope.frequencies import frequencies, ntk_factor, turned, turning

CPU = torch.device("cpu")


def test_turning_on_equals_turning_at_once():
    x = torch.randn(2, 3, 5, 8, generator=torch.Generator().manual_seed(0))
    omegas, here, there = frequencies(8, 10000.0), torch.arange(5), torch.tensor([0, 3, 9, 40, 200])
    at_once = turned(x, turning(there, omegas, CPU))
    in_two = turned(turned(x, turning(here, omegas, CPU)), turning(there - here, omegas, CPU))
    assert (at_once - in_two).norm() / at_once.norm() < 1e-6
    assert (at_once - x).norm() / x.norm() > 0.5


@pytest.mark.parametrize("scale", [1.5, 2.0, 4.0])
@pytest.mark.parametrize("dims", [10, 42, 56])
def test_ntk_slows_the_lowest_frequency_by_the_scale_and_leaves_the_highest(scale, dims):
    plain, slower = frequencies(dims, 10000.0), frequencies(dims, 10000.0 * ntk_factor(scale, dims))
    assert float(plain[-1] / slower[-1]) == pytest.approx(scale)
    assert float(plain[0] / slower[0]) == 1.0


@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_ntk_leaves_axes_that_are_not_longer(scale):
    assert ntk_factor(scale, 42) == 1.0


def test_the_temperatures_are_those_of_their_papers():
    assert sqrt_log_ratio(16384, 4096) == pytest.approx(1.0801, abs=1e-4)
    assert sqrt_log_ratio(4096, 4096) == sqrt_log_ratio(100, 4096) == 1.0
    assert cinescale_factor(10000) == 1.0
    assert cinescale_factor(20001) == pytest.approx(math.log(7200) / math.log(3600))
