"""Detail regions: exact on a pointwise denoiser, and what the nodes make of masks."""

import comfy.samplers
import pytest
import torch
from freescale_pack.freescale_core.settings import DetailSettings
from freescale_pack.nodes.input_checks import expect_mask
from freescale_pack.nodes.model_patch_node import FreeScaleModelPatch
from freescale_pack.nodes.part_nodes import FreeScaleDetailControl
from freescale_pack.nodes.patching.detail_blend import with_detail_blend
from freescale_pack.nodes.patching.model import settings_of, with_changes
from freescale_pack.nodes.region_nodes import FreeScaleDetailRegion

from .runs import sample
from .test_samplers import drive, toy_run


def left(height=64, width=64):
    mask = torch.zeros(1, height, width)
    mask[..., : width // 2] = 1
    return mask


def region(mask, alpha=3.0, feather=0.0, binary=False, regions=None):
    return FreeScaleDetailRegion.execute(mask, alpha, feather, binary, regions).result[0]


def blended(sampler, alpha, regions=()):
    """The toy run of two pictures of 8 x 8 cells, whose denoiser treats every cell on its own."""
    toy, eps, z0, sigmas = toy_run()
    ours = with_detail_blend(
        comfy.samplers.sampler_object(sampler), DetailSettings(alpha, regions), eps, toy.model_sampling
    )
    return drive(ours.sampler_function, toy, z0 + sigmas[0] * eps, sigmas)


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "heun"])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.3, 3.0])
def test_a_region_equals_a_run_with_its_alpha_to_the_bit(sampler, alpha):
    got = blended(sampler, 1.7, region(left(), alpha))
    assert torch.equal(got[..., :4], blended(sampler, alpha)[..., :4])
    assert torch.equal(got[..., 4:], blended(sampler, 1.7)[..., 4:])
    assert not torch.equal(got[..., :4], got[..., 4:])


def test_regions_chain_and_the_last_one_lies_on_top():
    top = torch.zeros(1, 64, 64)
    top[:, :32] = 1
    got = blended("euler", 2.0, region(top, 0.5, regions=region(left(), 3.0)))
    assert torch.equal(got[..., :4, :], blended("euler", 0.5)[..., :4, :])
    assert torch.equal(got[..., 4:, :4], blended("euler", 3.0)[..., 4:, :4])
    assert torch.equal(got[..., 4:, 4:], blended("euler", 2.0)[..., 4:, 4:])


def test_a_batch_of_masks_goes_to_a_batch_of_latents():
    got = blended("euler", 2.0, region(torch.stack([torch.zeros(9, 9), torch.ones(9, 9)]), 0.5))
    assert torch.equal(got[0], blended("euler", 2.0)[0])
    assert torch.equal(got[1], blended("euler", 0.5)[1])


def test_a_soft_edge_lies_between_the_two_alphas():
    got, inside, outside = (
        blended("euler", 1.0, region(left(), 3.0, feather=0.5)),
        blended("euler", 3.0),
        blended("euler", 1.0),
    )
    share = (
        ((got - outside) / (inside - outside)).median(dim=0).values.median(dim=0).values.median(dim=0).values
    )
    assert share.tolist() == sorted(share.tolist(), reverse=True)
    assert 0.3 < share[4] < 0.7 < share[1]


def test_a_chain_that_comes_in_stays_as_it_is():
    first = region(left(), 3.0)
    second = region(left(), 1.0, regions=first)
    assert (len(first), len(second)) == (1, 2)
    assert second[0] is first[0]


def test_regions_change_nothing_at_the_base_size_and_act_above_it(model):
    regions = region(left(100, 50), 0.0)
    whole = [
        FreeScaleModelPatch.execute(model, "SDXL", "Exact", 2.0, 128, 128, None, r).result[0]
        for r in ((), regions)
    ]
    # Without scale fusion, which would carry the difference over the mask's edge.
    plain, patched = (with_changes(each, fusion=None) for each in whole)
    assert torch.equal(sample(patched, side=128), sample(plain, side=128))
    got, without = sample(patched), sample(plain)
    assert (got - without)[..., :16].abs().mean() > 2 * (got - without)[..., 16:].abs().mean() > 0


def test_the_nodes_hand_regions_to_the_model_and_detail_control_keeps_them(model):
    regions, others = region(left(), 3.0), region(left(), 1.0)
    patched = FreeScaleModelPatch.execute(model, "SDXL", "Exact", 2.0, 0, 0, None, regions).result[0]
    assert settings_of(patched).detail == DetailSettings(2.0, regions)
    assert settings_of(FreeScaleDetailControl.execute(patched, True, 1.0).result[0]).detail == DetailSettings(
        1.0, regions
    )
    assert settings_of(
        FreeScaleDetailControl.execute(patched, True, 1.0, others).result[0]
    ).detail == DetailSettings(1.0, others)
    assert settings_of(
        FreeScaleDetailControl.execute(model, True, 1.0, others).result[0]
    ).detail == DetailSettings(1.0, others)
    assert settings_of(FreeScaleDetailControl.execute(patched, False, 1.0).result[0]).detail is None


def test_the_alpha_map_is_a_picture_with_a_fixed_scale():
    below = region(left(30, 40), 8.0)
    regions, picture = FreeScaleDetailRegion.execute(
        left(40, 30).movedim(1, 2), 1.0, 0.0, False, below
    ).result
    assert len(regions) == 2
    assert picture.shape == (1, 30, 40, 3)
    assert picture.dtype == torch.float32
    assert (picture[0, 5, 5, 0], picture[0, 25, 5, 1], picture[0, 25, 35, 2]) == (0.25, 1.0, 0.5)
    large = FreeScaleDetailRegion.execute(left(2048, 512), 1.0, 0.0, False).result[1]
    assert large.shape == (1, 1024, 256, 3)


@pytest.mark.parametrize(
    ("mask", "got"),
    [
        (torch.zeros(1, 1, 8, 8), r"shape \(1, 1, 8, 8\) of torch.float32"),
        (torch.zeros(8), r"shape \(8,\) of torch.float32"),
        (torch.zeros(1, 8, 0), r"shape \(1, 8, 0\) of torch.float32"),
        (torch.zeros(1, 8, 8, dtype=torch.uint8), r"shape \(1, 8, 8\) of torch.uint8"),
        (None, "NoneType"),
    ],
)
def test_a_mask_of_another_shape_or_type_is_refused_in_one_sentence(mask, got):
    with pytest.raises(
        ValueError,
        match=rf"^FreeScale Detail Region expects a mask of shape .* got {got}: connect another mask\.$",
    ):
        region(mask)


def test_a_mask_may_have_two_dimensions_and_counts_from_0_to_1():
    assert region(torch.full((4, 6), 7.0))[0].mask.shape == (1, 4, 6)
    assert region(torch.full((4, 6), 7.0))[0].mask.max() == 1


def test_a_mask_in_half_precision_is_resized_in_full_precision():
    assert expect_mask("node", torch.full((4, 6), 0.3, dtype=torch.float16)).dtype == torch.float32
