"""The sizes of a cascade's stages."""

import pytest

from freescale_core.geometry import Size
from freescale_core.planning.stages import doubling_stages


@pytest.mark.parametrize(
    ("start", "target", "expected"),
    [
        ((1024, 1024), (2048, 2048), [(2048, 2048)]),
        ((1024, 1024), (4096, 4096), [(2048, 2048), (4096, 4096)]),
        ((1024, 1024), (8192, 8192), [(2048, 2048), (4096, 4096), (8192, 8192)]),
        ((1024, 1024), (3072, 3072), [(2048, 2048), (3072, 3072)]),
        ((1024, 1024), (1536, 1536), [(1536, 1536)]),
        ((1024, 1024), (2400, 2400), [(2400, 2400)]),
        ((1216, 832), (4864, 3328), [(2432, 1664), (4864, 3328)]),
        ((768, 1344), (2160, 3840), [(1520, 2712), (2160, 3840)]),
    ],
)
def test_stages_double_and_end_at_the_target(start, target, expected):
    assert list(doubling_stages(Size(*start), Size(*target))) == expected


def test_a_target_no_larger_than_the_start_is_refused_with_both_sizes():
    with pytest.raises(ValueError, match=r"at least 1\.1 times the start 1024x1024, got 1024x1048"):
        doubling_stages(Size(1024, 1024), Size(1048, 1024))
