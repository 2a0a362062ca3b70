"""alpha maps: layers in order, soft masks of any size, batches, edges, the release's binary masks."""

import pytest
import torch

from freescale_core.detail import alpha_map
from freescale_core.geometry import Size
from freescale_core.masks import repeat_to, resize_masks
from freescale_core.settings import DetailRegion

GRID = Size(4, 8)


def left_half(height=4, width=8):
    mask = torch.zeros(1, height, width)
    mask[..., : width // 2] = 1
    return mask


def test_without_regions_alpha_is_the_same_everywhere():
    assert torch.equal(alpha_map(2.0, (), 3, GRID), torch.full((3, 1, 4, 8), 2.0, dtype=torch.float64))


@pytest.mark.parametrize("side", [(4, 8), (400, 800), (37, 50), (2, 4), (512, 4), (2, 1000)])
def test_a_mask_of_any_size_gives_exactly_its_alpha_inside_and_the_models_outside(side):
    row = alpha_map(0.5, (DetailRegion(left_half(*side), 3.0),), 1, GRID)[0, 0]
    assert row[:, :3].unique().tolist() == [3.0]
    assert row[:, 5:].unique().tolist() == [0.5]


def test_a_soft_mask_mixes():
    mask = torch.full((1, 2, 2), 0.25)
    assert alpha_map(2.0, (DetailRegion(mask, 4.0),), 1, GRID).unique().tolist() == [0.25 * 4 + 0.75 * 2]


def test_a_later_region_lies_on_top():
    full, half = DetailRegion(torch.ones(1, 4, 8), 1.0), DetailRegion(left_half(), 3.0)
    assert alpha_map(2.0, (full, half), 1, GRID)[0, 0, 0].tolist() == [3.0] * 4 + [1.0] * 4
    assert alpha_map(2.0, (half, full), 1, GRID).unique().tolist() == [1.0]
    soft = DetailRegion(torch.full((1, 4, 8), 0.5), 8.0)
    assert alpha_map(2.0, (half, soft), 1, GRID)[0, 0, 0].tolist() == [5.5] * 4 + [5.0] * 4


@pytest.mark.parametrize(("value", "alpha"), [(0.0, 2.0), (1.0, 3.0)])
def test_empty_and_full_masks(value, alpha):
    regions = (DetailRegion(torch.full((1, 5, 5), value), 3.0, feather=0.2),)
    assert alpha_map(2.0, regions, 1, GRID) == pytest.approx(torch.full((1, 1, 4, 8), alpha))


def test_fewer_masks_than_pictures_repeat_in_turn_and_further_ones_are_dropped():
    masks = torch.stack([torch.zeros(2, 2), torch.ones(2, 2)])
    assert alpha_map(2.0, (DetailRegion(masks, 3.0),), 3, GRID)[:, 0, 0, 0].tolist() == [2.0, 3.0, 2.0]
    assert alpha_map(2.0, (DetailRegion(masks, 3.0),), 1, GRID).unique().tolist() == [2.0]
    assert repeat_to(torch.arange(2), 5).tolist() == [0, 1, 0, 1, 0]


@pytest.mark.parametrize("side", [64, 256])
def test_feather_is_a_share_of_the_picture_in_every_stage(side):
    """Half of the shorter side: the edge, in the middle, is soft from a quarter before to a quarter behind
    it."""
    mask = left_half(64, 128)
    row = alpha_map(0.0, (DetailRegion(mask, 1.0, feather=0.5),), 1, Size(side, 2 * side))[0, 0, side // 2]
    at = [float(row[round(side * place)]) for place in (0.5, 0.75, 1.0, 1.25, 1.5)]
    assert at == pytest.approx([1.0, 0.977, 0.5, 0.023, 0.0], abs=0.03)
    assert row.tolist() == sorted(row.tolist(), reverse=True)


def test_a_mask_at_the_border_of_the_picture_does_not_fade_there():
    row = alpha_map(0.0, (DetailRegion(left_half(64, 128), 1.0, feather=0.2),), 1, Size(64, 128))[0, 0]
    assert row[:, 0] == pytest.approx(torch.ones(64, dtype=torch.float64))


def test_binary_counts_every_grey_as_white_and_takes_the_nearest_pixel():
    mask = torch.tensor([[[0.0, 0.01, 0.5, 0.0]]])
    got = alpha_map(0.5, (DetailRegion(mask, 3.0, binary=True),), 1, Size(2, 8))
    assert got[0, 0].tolist() == [[0.5, 0.5, 3.0, 3.0, 3.0, 3.0, 0.5, 0.5]] * 2
    coarse = alpha_map(0.5, (DetailRegion(mask, 3.0, binary=True),), 1, Size(1, 2))
    assert coarse[0, 0].tolist() == [[0.5, 3.0]]


def test_half_precision_masks_work():
    assert alpha_map(0.5, (DetailRegion(left_half().half(), 3.0),), 1, GRID).unique().tolist() == [0.5, 3.0]
    third = torch.tensor([[[1.0, 0.0, 0.0]]]).half()
    assert alpha_map(0.0, (DetailRegion(third, 7.0),), 1, Size(1, 1)).item() == pytest.approx(7 / 3, abs=1e-9)


def test_a_cell_gets_the_mean_of_the_mask_below_it():
    mask = torch.tensor([[[1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]])
    assert resize_masks(mask, Size(1, 2)).tolist() == [[[0.25, 1.0]]]


def test_a_coarse_mask_is_stretched_by_its_pixels_and_not_by_their_centres():
    assert resize_masks(torch.tensor([[[1.0, 0.0]]]), Size(1, 4)).tolist() == [[[1.0, 0.75, 0.25, 0.0]]]
    wide = torch.tensor([[[1.0] * 8, [0.0] * 8]])  # coarser than the grid on one axis, finer on the other
    assert resize_masks(wide, Size(4, 4))[0, :, 0].tolist() == [1.0, 0.75, 0.25, 0.0]
