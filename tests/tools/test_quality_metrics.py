"""What `dev.py bench quality` measures in one image, on images whose values are known."""

import pytest
import torch

from tools.bench.picture_quality.metrics import consistency, repetition, resized, sharpness

BASE = 128


def scene(height=BASE, width=BASE, seed=0):
    """A light image with one dark thing of discs and bars in its middle, each scene another thing."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    image = torch.full((height, width), 0.9)
    for value in (0.2, 0.7, 0.1, 0.5):
        a, b, c, d = (torch.rand(4, generator=generator) - 0.5).tolist()
        image[(y - a) ** 2 + (x - b) ** 2 < (0.1 + 0.3 * abs(c)) ** 2] = value
        image[((y - c).abs() < 0.08) & ((x - d).abs() < 0.3)] = 1 - value
    return image[None, None].repeat(1, 3, 1, 1)


def enlarged(image, factor):
    return resized(image, [side * factor for side in image.shape[2:]])


@pytest.mark.parametrize(("height", "width", "factor"), [(BASE, BASE, 2), (BASE, BASE, 4), (96, 160, 2)])
def test_a_tiling_repeats_itself_and_one_thing_does_not(height, width, factor):
    base = scene(height, width)
    assert repetition(base.repeat(1, 1, factor, factor), base) > 0.85
    assert repetition(enlarged(base, factor), base) < 0.01


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_several_things_and_copies_inside_a_thing_are_repetition_but_new_detail_is_not(seed):
    base = scene(seed=seed)
    large = enlarged(base, 2)
    several, inside = torch.full_like(large, 0.9), large.clone()
    for top, left in ((10, 20), (120, 100), (30, 128)):
        several[..., top : top + BASE, left : left + BASE] = base
    for top, left in ((80, 90), (80, 150), (140, 90), (140, 150)):
        inside[..., top : top + 50, left : left + 50] = resized(base, [50, 50])
    noise = torch.randn(large.shape, generator=torch.Generator().manual_seed(0))
    detailed = (large + 0.05 * noise).clamp(0, 1)
    assert repetition(several, base) > 0.7
    assert repetition(inside, base) > 0.1
    assert repetition(detailed, base) < 0.05


def test_what_the_base_picture_repeats_is_not_held_against_its_enlargement():
    base = scene(64, 64).repeat(1, 1, 2, 2)
    assert repetition(enlarged(base, 2), base) < 0.05


def test_consistency_is_1_for_the_base_enlarged_and_lower_for_another_thing():
    base = scene()
    assert consistency(enlarged(base, 2), base) > 0.95
    assert consistency(enlarged(scene(seed=1), 2), base) < 0.85


def test_sharpness_is_the_share_above_the_base_sizes_limit():
    x = torch.arange(256) / 256

    def wave(cycles):
        return (0.5 + 0.4 * torch.sin(2 * torch.pi * cycles * x)).expand(1, 3, 256, 256)

    assert sharpness(wave(20), (128, 128)) < 0.001  # a base of 128 px holds 64 cycles
    assert sharpness(wave(100), (128, 128)) > 0.999
    assert sharpness((wave(20) + wave(100)) / 2, (128, 128)) == pytest.approx(0.5, abs=0.01)
