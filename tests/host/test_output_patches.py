"""Output patches of other nodes on self-attention: they see one ordinary batch, as without FreeScale."""

import pytest
import torch
from freescale_pack.freescale_core.attention.blur import Gaussian
from freescale_pack.freescale_core.attention.fusion import fuse_
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.settings import FusionSettings
from freescale_pack.nodes.patching.model import with_settings

from tools.bench.performance.attention import LoneAttention
from tools.harness.demo_checkpoint import demo_checkpoint

from .runs import sample, settings


@pytest.mark.parametrize("patched_first", [True, False], ids=["before FreeScale", "after FreeScale"])
def test_an_output_patch_of_another_node_sees_the_fused_tokens_and_not_both_branches(patched_first):
    seen = []

    def foreign(n, extra_options):
        seen.append((n.shape[0], extra_options["activations_shape"][0]))
        return n * 0.5

    def with_foreign(model):
        other = model.clone()
        other.set_model_attn1_output_patch(foreign)
        return other

    model, fused = demo_checkpoint()[0], settings("fusion")
    both = (
        with_settings(with_foreign(model), fused)
        if patched_first
        else with_foreign(with_settings(model, fused))
    )
    got = sample(both)
    assert seen and all(rows == batch for rows, batch in seen)
    assert not torch.equal(got, sample(with_settings(model, fused)))
    assert not torch.equal(got, sample(with_foreign(model)))


@pytest.mark.parametrize("sigma", [0.5, 2.0])
@pytest.mark.parametrize("over_channels", [True, False], ids=["3-D", "2-D"])
def test_the_branches_are_fused_with_the_sigma_of_the_settings(over_channels, sigma):
    window, grid = Size(4, 4), Size(8, 8)
    branches = LoneAttention(window, grid, FusionSettings(sigma=sigma), 16, 2).attend()
    gaussian = Gaussian(3, sigma, over_channels)  # 3 taps at twice the base size.
    expected = fuse_(*branches.chunk(2), grid, gaussian)
    got = LoneAttention(window, grid, FusionSettings(sigma=sigma, over_channels=over_channels), 16, 2).both()
    assert torch.allclose(got, expected, atol=1e-6)
