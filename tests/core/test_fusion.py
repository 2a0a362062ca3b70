"""The Gaussian against a dense convolution, and eq. 7 against its own words."""

import pytest
import torch
import torch.nn.functional as F

from freescale_core import scale_fusion
from freescale_core.gaussian_blur import blur_tokens
from freescale_core.geometry import Size
from freescale_core.scale_fusion import fuse_

GRID = Size(6, 9)


def tokens(channels=5, batch=2, seed=0):
    return torch.randn(batch, GRID.area, channels, generator=torch.Generator().manual_seed(seed))


def gaussian(k, sigma):
    g = torch.exp(-((torch.arange(k) - k // 2) ** 2) / (2 * sigma**2))
    return g / g.sum()


def dense_blur(x, k, sigma, over_channels):
    """Oracle: one conv3d over (h, w, channel) with zero padding; a one-tap channel axis makes it 2-D."""
    g = gaussian(k, sigma)
    c = g if over_channels else torch.ones(1)
    kernel = g[:, None, None] * g[None, :, None] * c[None, None, :]
    volume = x.reshape(x.shape[0], 1, GRID.height, GRID.width, x.shape[2])
    return F.conv3d(volume, kernel[None, None], padding=(k // 2, k // 2, len(c) // 2)).reshape(x.shape)


@pytest.mark.parametrize("over_channels", [False, True])
@pytest.mark.parametrize(("k", "sigma"), [(1, 1.0), (3, 1.0), (5, 0.7), (7, 1.0), (15, 2.0)])
def test_blur_equals_the_dense_convolution(k, sigma, over_channels):
    x = tokens()
    assert torch.allclose(blur_tokens(x, GRID, k, sigma, over_channels), dense_blur(x, k, sigma, over_channels), atol=1e-6)


@pytest.mark.parametrize("over_channels", [False, True])
def test_fusion_is_low_of_local_plus_high_of_global(over_channels):
    local, global_ = tokens(seed=1), tokens(seed=2)
    expected = dense_blur(local, 3, 1.0, over_channels) + global_ - dense_blur(global_, 3, 1.0, over_channels)
    assert torch.allclose(fuse_(global_, local, GRID, 3, 1.0, over_channels), expected, atol=1e-6)


def test_2d_fusion_commutes_with_the_output_projection_and_3d_does_not():
    local, global_ = tokens(seed=1), tokens(seed=2)
    linear = torch.nn.Linear(5, 5)
    for over_channels, commutes in [(False, True), (True, False)]:
        with torch.no_grad():
            after = fuse_(linear(global_), linear(local), GRID, 3, 1.0, over_channels)
            before = linear(fuse_(global_.clone(), local.clone(), GRID, 3, 1.0, over_channels))
        assert torch.allclose(before, after, atol=1e-5) is commutes


def test_equal_branches_stay_as_they_are_in_half_precision():
    x = tokens().half()
    out = fuse_(x.clone(), x.clone(), GRID, 3, 1.0, True)
    assert out.dtype == torch.float16
    assert torch.equal(out, x)


def out_of_memory(*args):
    raise MemoryError


@pytest.mark.parametrize("over_channels", [False, True])
@pytest.mark.parametrize("k", [1, 3, 7])
def test_the_blur_in_parts_is_the_blur_even_if_memory_runs_out_on_the_way(k, over_channels, monkeypatch):
    local, global_ = tokens(seed=1), tokens(seed=2)
    whole = fuse_(global_.clone(), local.clone(), GRID, k, 1.0, over_channels, lambda step: step(10**9))

    def first_full_then_small(step):
        with monkeypatch.context() as full, pytest.raises(MemoryError):
            full.setattr(scale_fusion, "blur_tokens", out_of_memory)
            step(10**9)
        return step(1)

    assert torch.allclose(fuse_(global_, local, GRID, k, 1.0, over_channels, first_full_then_small), whole, atol=1e-6)
