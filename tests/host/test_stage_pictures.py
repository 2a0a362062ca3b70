"""Pictures of stages for the eye: small copies."""

import pytest
import torch
from freescale_pack.nodes.cascade.progress import shrunk, small_latent


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((2048, 4096), (512, 1024)),
        ((1025, 64), (1024, 64)),
        ((1024, 1024), (1024, 1024)),
        ((64, 96), (64, 96)),
    ],
)
def test_no_side_above_1024_and_the_same_shape(size, shown):
    image = torch.rand(2, *size, 3)
    small = shrunk(image)
    assert small.shape == (2, *shown, 3)
    assert small.mean() == pytest.approx(float(image.mean()), abs=1e-3)


def test_a_preview_takes_one_small_latent():
    assert small_latent(torch.zeros(3, 4, 512, 256)).shape == (1, 4, 128, 64)
    small = torch.randn(2, 4, 64, 128)
    assert torch.equal(small_latent(small), small[:1])
