"""Output patches of other nodes on self-attention: they see one ordinary batch, as without FreeScale."""

import pytest
import torch
from freescale_pack.nodes.stage_sampling import with_settings

from .test_patches import demo_checkpoint, sample, settings


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
    both = with_settings(with_foreign(model), fused) if patched_first else with_foreign(with_settings(model, fused))
    got = sample(both)
    assert seen and all(rows == batch for rows, batch in seen)
    assert not torch.equal(got, sample(with_settings(model, fused)))
    assert not torch.equal(got, sample(with_foreign(model)))
