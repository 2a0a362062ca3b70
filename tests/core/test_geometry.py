"""Geometry pinned by tables of expected numbers (docs/METHOD.md and the release's square sizes)."""

import pytest

from freescale_core.geometry import (
    MIN_SCALE,
    Size,
    blur_kernel_size,
    dilation_factor,
    enlarged,
    level_of,
    level_size,
    scale_between,
    scaled,
    size_of_area,
    strides_between,
)


@pytest.mark.parametrize(
    ("base", "target", "scale", "dilation", "kernel"),
    [
        ((1024, 1024), (1024, 1024), 1.0, 1, 1),
        ((1024, 1024), (1536, 1536), 1.5, 2, 3),
        ((1024, 1024), (2048, 2048), 2.0, 2, 3),
        ((1024, 1024), (3072, 3072), 3.0, 3, 5),
        ((1024, 1024), (4096, 4096), 4.0, 4, 7),
        ((1024, 1024), (8192, 8192), 8.0, 8, 15),
        ((1216, 832), (2432, 1664), 2.0, 2, 3),
        ((768, 1344), (2160, 3840), 2.834734, 3, 5),
        ((1024, 1024), (2056, 2052), 2.005858, 2, 3),
    ],
)
def test_scale_dilation_and_kernel(base, target, scale, dilation, kernel):
    s = scale_between(Size(*base), Size(*target))
    assert s == pytest.approx(scale, abs=1e-6)
    assert dilation_factor(s) == dilation
    assert blur_kernel_size(s) == kernel


@pytest.mark.parametrize(
    ("size", "level", "expected"),
    [
        ((128, 128), 1, (64, 64)),
        ((128, 128), 2, (32, 32)),
        ((17, 27), 1, (9, 14)),
        ((17, 27), 2, (5, 7)),
        ((17, 27), 3, (3, 4)),
        ((1, 1), 4, (1, 1)),
    ],
)
def test_levels_halve_rounding_up_and_are_recognised(size, level, expected):
    assert level_size(Size(*size), level) == expected
    if min(size) > 1:
        assert level_of(Size(*expected), Size(*size)) == level


@pytest.mark.parametrize(
    ("window", "grid", "expected"),
    [
        ((64, 64), (128, 128), (2, 2)),
        ((32, 32), (128, 128), (4, 4)),
        ((32, 64), (64, 256), (2, 4)),
        ((64, 64), (70, 64), (1, 1)),
        ((64, 64), (32, 64), (1, 1)),
    ],
)
def test_strides_of_the_fast_pass(window, grid, expected):
    assert strides_between(Size(*window), Size(*grid)) == expected


@pytest.mark.parametrize(
    ("side", "target", "expected"),
    [
        (1024, (2048, 2048), (1024, 1024)),
        (1024, (2160, 3840), (768, 1344)),
        (1024, (3840, 2160), (1344, 768)),
        (1024, (2432, 1664), (1216, 832)),
        (512, (1024, 2048), (384, 704)),
    ],
)
def test_auto_base_has_the_presets_area_and_the_targets_aspect(side, target, expected):
    assert size_of_area(side, Size(*target), 64) == expected


def test_scaled_rounds_to_whole_latent_cells():
    assert scaled(Size(1216, 832), 1.5, 8) == (1824, 1248)
    assert scaled(Size(1000, 1000), 1.1, 8) == (1104, 1104)


def test_size_prints_width_first_as_users_write_it():
    assert str(Size(height=1216, width=832)) == "832x1216"


BUCKETS = [
    *(
        (1024, 1024),
        (1216, 832),
        (832, 1216),
        (896, 1152),
        (1152, 896),
        (1344, 768),
        (768, 1344),
        (1536, 640),
    ),
    *((640, 1536), (512, 512), (256, 256), (1088, 960), (1472, 704), (64, 64)),
]


@pytest.mark.parametrize("bucket", BUCKETS)
@pytest.mark.parametrize("factor", [1.1, 1.15, 1.25])
def test_every_factor_from_the_least_on_is_one_for_every_size(bucket, factor):
    """1216 x 832 times 1.1 is 1336 x 912 to the nearest cells, which is 1.098 times as large."""
    size = Size(*bucket)
    got = enlarged(size, factor)
    assert scale_between(size, got) >= MIN_SCALE
    assert all(side % 8 == 0 and abs(side - old * factor) <= 8 for side, old in zip(got, size, strict=True))


def test_what_is_rounded_to_the_nearest_cells_stays_so():
    assert enlarged(Size(1000, 1000), 1.5) == (1504, 1504)
    assert enlarged(Size(832, 1216), 2.0) == (1664, 2432)
    assert enlarged(Size(832, 1216), 1.05) == (872, 1280)
