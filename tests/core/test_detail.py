"""Eq. 4: the weights of docs/METHOD.md, maps, model types, in place."""

import math

import pytest
import torch

from freescale_core.detail import blend_, blend_weight
from freescale_core.schedule import timestep_of, variance_exploding

# t, sigma of SDXL's schedule (50 leading steps), c at alpha 2 to three places
TABLE = [
    (681, 3.093, 0.592),
    (581, 2.156, 0.392),
    (481, 1.525, 0.221),
    (381, 1.079, 0.101),
    (281, 0.747, 0.033),
    (181, 0.484, 0.006),
]


@pytest.mark.parametrize(("t", "sigma", "c"), TABLE)
def test_weights_of_the_release(t, sigma, c):
    assert blend_weight(sigma_of(t), 2.0) == pytest.approx(c, abs=5e-4)


def test_restart_sigma_is_the_published_one():
    assert sigma_of(681) == pytest.approx(3.093, abs=5e-4)
    assert timestep_of(3.093) == pytest.approx(681, abs=0.1)


def sigma_of(t):
    """The inverse of timestep_of, by bisection."""
    low, high = 1e-3, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if timestep_of(middle) < t else (low, middle)
    return low


@pytest.mark.parametrize(("sigma", "t"), [(0.0, 0.0), (1e-9, 0.0), (1e9, 999.0), (math.inf, 999.0)])
def test_levels_outside_the_table_count_as_its_ends(sigma, t):
    assert timestep_of(sigma) == t


def test_larger_alpha_lets_go_sooner_and_alpha_zero_never_does():
    weights = [blend_weight(1.5, alpha) for alpha in (0.0, 0.5, 1.0, 2.0, 3.0)]
    assert weights[0] == 1.0
    assert weights == sorted(weights, reverse=True)


def test_an_alpha_map_acts_cell_by_cell():
    alpha = torch.tensor([[[[0.5, 3.0]]]])
    weight = blend_weight(1.5, alpha)
    assert weight.flatten().tolist() == pytest.approx([blend_weight(1.5, 0.5), blend_weight(1.5, 3.0)])


def test_the_blend_happens_in_place():
    x = torch.full((1, 1, 1, 2), 4.0)
    assert blend_(x, torch.zeros_like(x), 0.25) is x
    assert x.flatten().tolist() == [3.0, 3.0]


@pytest.mark.parametrize(
    ("kind", "sigma", "scaling"),
    [
        ({"sigma_data": 1.0}, 3.0, lambda s, eps, z0: z0 + s * eps),
        ({"sigma_data": 0.5}, 1.5, lambda s, eps, z0: z0 + s * eps),
        ({"flow": True}, 0.75, lambda s, eps, z0: (1 - s) * z0 + s * eps),
    ],
)
def test_eps_edm_and_flow_models_at_one_noise_ratio_share_the_weight_and_rest_at_their_reference(
    kind, sigma, scaling
):
    """sigma 3 (EPS, v), 1.5 (EDM, sigma_data 0.5) and 0.75 (flow) are all t of ratio 3; x at the reference
    does not move."""
    level = variance_exploding(sigma, **kind)
    assert level == pytest.approx(3.0)
    z0, eps = torch.randn(2, 1, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    reference = scaling(sigma, eps, z0)
    x = blend_(reference.clone(), reference, blend_weight(level, 2.0))
    assert torch.allclose(x, reference, atol=1e-6)


def test_pure_noise_of_a_flow_model_is_the_end_of_the_table():
    assert timestep_of(variance_exploding(1.0, flow=True)) == 999.0
