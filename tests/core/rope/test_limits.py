"""Limits that settings leave open: CineScale's own for Wan, and their proportions for other sizes."""

import pytest

from freescale_core.geometry import Size
from freescale_core.rope.limits import Limits, limits
from freescale_core.settings import RopeSettings

RECTIFIED = RopeSettings("rectified")


def test_for_wan_at_720p_they_are_cinescales():
    assert limits(RECTIFIED, Size(45, 80)) == Limits(Size(18, 32), Size(9, 16), Size(44, 79))


def test_those_that_are_set_win():
    set_ones = RopeSettings("rectified", tile=Size(2, 3), threshold=Size(0, 1), max_relative=Size(5, 6))
    assert limits(set_ones, Size(45, 80)) == Limits(Size(2, 3), Size(0, 1), Size(5, 6))


@pytest.mark.parametrize("side", range(2, 130))
def test_a_tile_always_lies_within_reach(side):
    found = limits(RECTIFIED, Size(side, side))
    assert found.tile.height <= found.max_relative.height + 1


def test_a_tile_beyond_reach_is_refused():
    with pytest.raises(ValueError, match="expected a tile of at most 8x8"):
        limits(RopeSettings("rectified", tile=Size(10, 4), max_relative=Size(8, 8)), Size(45, 80))
