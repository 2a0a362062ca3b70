"""Rectified positions: no key looks farther away than in training, and near ones stay where they are."""

import pytest
import torch

from freescale_core.rope.positions import rectified_positions, tiles

AXES = [(135, 18, 44, 9), (240, 32, 79, 16), (64, 26, 63, 13), (65, 26, 63, 13), (19, 5, 11, 2), (9, 3, 2, 0)]


@pytest.mark.parametrize(("length", "tile", "most", "threshold"), AXES)
def test_every_key_lies_within_reach_of_every_query(length, tile, most, threshold):
    for first, last in tiles(length, tile):
        keys = rectified_positions(length, first, last, most, threshold)
        assert (keys - first).abs().max() <= most
        assert (keys - last).abs().max() <= most
        assert (keys.diff() >= 0).all()


@pytest.mark.parametrize(("length", "tile", "most", "threshold"), AXES)
def test_keys_near_the_tile_keep_their_positions(length, tile, most, threshold):
    for first, last in tiles(length, tile):
        keys = rectified_positions(length, first, last, most, threshold)
        reach = min(threshold, most - (last - first))
        near = slice(max(0, first - reach), last + reach + 1)
        assert torch.equal(keys[near], torch.arange(length)[near])


@pytest.mark.parametrize("length", [1, 40, 45])
def test_an_axis_of_the_training_size_stays_as_it_is(length):
    for first, last in tiles(length, 18):
        assert torch.equal(rectified_positions(length, first, last, 44, 9), torch.arange(length))


def test_one_token_above_the_training_size_something_moves():
    assert not torch.equal(rectified_positions(46, 0, 17, 44, 9), torch.arange(46))


def test_a_tile_that_no_key_can_reach_is_refused():
    with pytest.raises(ValueError, match="expected a tile of at most 45 tokens, got 46"):
        rectified_positions(100, 0, 45, 44, 9)


def test_tiles_cover_an_axis_once():
    assert [p for first, last in tiles(50, 18) for p in range(first, last + 1)] == list(range(50))
