"""The Gaussian against a dense convolution, and eq. 7 against its own words."""

import pytest
import torch
import torch.nn.functional as F
from operations import Operations

from freescale_core.attention import fusion
from freescale_core.attention.blur import Gaussian, blur_rows
from freescale_core.attention.fusion import fuse_
from freescale_core.geometry import Size

GRID = Size(6, 9)
VIEWS = {
    "slice.Tensor",
    "expand.default",
    "transpose.int",
    "view.default",
    "unfold.default",
    "permute.default",
}
VIEWS |= {"as_strided.default", "unsqueeze.default", "_unsafe_view.default", "alias.default"}


def tokens(channels=5, batch=2, seed=0):
    return torch.randn(batch, GRID.area, channels, generator=torch.Generator().manual_seed(seed))


def gaussian(k, sigma):
    g = torch.exp(-((torch.arange(k) - k // 2) ** 2) / (2 * sigma**2))
    return g / g.sum()


def dense_blur(x, k, sigma, over_channels):
    """Oracle: one conv3d over (h, w, channel) with zero padding; a one-tap channel axis makes it 2-D."""
    g = gaussian(k, sigma)
    c = g if over_channels else torch.ones(1)
    kernel = g[:, None, None] * g[None, :, None] * c[None, None, :]
    volume = x.reshape(x.shape[0], 1, GRID.height, GRID.width, x.shape[2])
    return F.conv3d(volume, kernel[None, None], padding=(k // 2, k // 2, len(c) // 2)).reshape(x.shape)


CASES = [(1, 1.0), (3, 1.0), (5, 0.7), (7, 1.0), (15, 2.0)]


def blur(image, k, sigma, over_channels, top=0, bottom=None):
    """The blur of a whole image (h, w, c), or of some of its rows."""
    return blur_rows(
        image[None], top, len(image) if bottom is None else bottom, Gaussian(k, sigma, over_channels)
    )[0].flatten(2)


def dense(image, k, sigma, over_channels):
    """Oracle of any size and dtype: one conv3d over (h, w, channel)."""
    g = gaussian(k, sigma).to(image.dtype)
    c = g if over_channels else g.new_ones(1)
    kernel = g[:, None, None] * g[None, :, None] * c[None, None, :]
    return F.conv3d(image[None, None], kernel[None, None], padding=(k // 2, k // 2, len(c) // 2))[0, 0]


@pytest.mark.parametrize("over_channels", [False, True])
@pytest.mark.parametrize(("k", "sigma"), CASES)
@pytest.mark.parametrize("shape", [(6, 9, 5), (20, 16, 64), (9, 13, 40), (1, 1, 1), (3, 64, 96)])
def test_blur_equals_the_dense_convolution(shape, k, sigma, over_channels):
    """Axes in one block and in many, of prime length and shorter than the kernel."""
    image = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(
        blur(image, k, sigma, over_channels), dense(image, k, sigma, over_channels), atol=1e-6
    )


def smooth(x):
    """What a blur keeps; x: (1, h*w, c)."""
    low = F.avg_pool3d(x.view(1, 1, 16, 32, 64), 7, 1, 3, count_include_pad=False)
    return (low / low.std()).view(x.shape)


BRANCHES = {
    "independent": (lambda a, b: (a, b), 3),
    "opposite": (lambda a, b: (a, -a), 3),
    "little but a smooth difference": (lambda a, b: (0.1 * a, 0.1 * a + smooth(b)), 3),
    "smooth and nearly opposite": (lambda a, b: (smooth(b) + 0.1 * a, -smooth(b) + 0.1 * a), 6),
}
"""Noise a and b -> (global, local), and how many roundings of the result the blur may cost."""


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("k", [3, 7, 15])
@pytest.mark.parametrize("name", BRANCHES)
def test_half_precision_costs_few_roundings_of_the_result(name, k, dtype):
    make, most = BRANCHES[name]
    grid, noise = Size(16, 32), torch.randn(2, 1, 16 * 32, 64, generator=torch.Generator().manual_seed(0))
    global_, local = (branch.to(dtype) for branch in make(*noise))
    difference = (local.double() - global_.double()).view(*grid, 64)
    expected = global_.double() + dense(difference, k, 1.0, True).view(global_.shape)
    got = fuse_(global_, local, grid, Gaussian(k)).double()
    rounded = expected.to(dtype).double()
    assert (got - expected).norm() < most * (rounded - expected).norm()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("k", [3, 5, 7, 15])
def test_rounded_taps_still_sum_to_one(k, dtype):
    """Or three passes would brighten or darken what is even."""
    image = torch.ones(64, 64, 64, dtype=dtype)
    middle = blur(image, k, 1.0, True)[k:-k, k:-k, k:-k]
    assert torch.equal(middle, torch.ones_like(middle))


@pytest.mark.parametrize("k", [3, 7, 15])
@pytest.mark.parametrize(("top", "bottom"), [(0, 20), (3, 18), (0, 6), (4, 12)])
def test_images_of_a_batch_are_blurred_apart(k, top, bottom):
    """They lie behind one another in one tall image.

    A product multiplies what it does not need with 0, which keeps a NaN.
    """
    images = torch.randn(3, 20, 16, 64, generator=torch.Generator().manual_seed(0))
    images[1] = torch.nan
    together = blur_rows(images, top, bottom, Gaussian(k)).flatten(3)
    for i in (0, 2):
        assert torch.allclose(together[i], blur(images[i], k, 1.0, True, top, bottom), atol=1e-6)
    assert together[1].isnan().all()


@pytest.mark.parametrize(("k", "sigma"), CASES)
def test_rows_of_a_blur_are_the_blur_of_the_whole_image(k, sigma):
    image = torch.randn(20, 16, 64, generator=torch.Generator().manual_seed(0))
    whole = blur(image, k, sigma, True)
    for top, bottom in ((0, 1), (0, 7), (5, 15), (13, 20), (19, 20)):
        assert torch.allclose(blur(image, k, sigma, True, top, bottom), whole[top:bottom], atol=1e-6)


def test_a_blur_runs_no_convolution_and_writes_into_no_part_of_a_tensor():
    """Convolutions run in TF32 and have limits of groups and layouts; out= ignores where a part begins on
    Apple's GPUs."""
    image = torch.randn(20, 16, 64)
    blur(image, 7, 1.0, True)  # Bands are made and cached.
    with Operations() as seen:
        blur_rows(image[None], 0, 20, Gaussian(7))
    made = {"bmm.default", "new_empty.default", "copy_.default", "zero_.default", "clone.default"}
    assert {name.removeprefix("aten.") for name in seen.names} - VIEWS == made


@pytest.mark.parametrize("over_channels", [False, True])
def test_fusion_is_low_of_local_plus_high_of_global(over_channels):
    local, global_ = tokens(seed=1), tokens(seed=2)
    expected = dense_blur(local, 3, 1.0, over_channels) + global_ - dense_blur(global_, 3, 1.0, over_channels)
    assert torch.allclose(fuse_(global_, local, GRID, Gaussian(3, 1.0, over_channels)), expected, atol=1e-6)


def test_2d_fusion_commutes_with_the_output_projection_and_3d_does_not():
    local, global_ = tokens(seed=1), tokens(seed=2)
    linear = torch.nn.Linear(5, 5)
    for over_channels, commutes in [(False, True), (True, False)]:
        with torch.no_grad():
            after = fuse_(linear(global_), linear(local), GRID, Gaussian(3, 1.0, over_channels))
            before = linear(fuse_(global_.clone(), local.clone(), GRID, Gaussian(3, 1.0, over_channels)))
        assert torch.allclose(before, after, atol=1e-5) is commutes


def test_equal_branches_stay_as_they_are_in_half_precision():
    x = tokens().half()
    out = fuse_(x.clone(), x.clone(), GRID, Gaussian(3))
    assert out.dtype == torch.float16
    assert torch.equal(out, x)


def out_of_memory(*args):
    raise MemoryError


@pytest.mark.parametrize("over_channels", [False, True])
@pytest.mark.parametrize("k", [1, 3, 7])
def test_the_blur_in_parts_is_the_blur_even_if_memory_runs_out_on_the_way(k, over_channels, monkeypatch):
    local, global_ = tokens(seed=1), tokens(seed=2)
    whole = fuse_(
        global_.clone(), local.clone(), GRID, Gaussian(k, 1.0, over_channels), lambda step: step(10**9)
    )

    def first_full_then_small(step):
        with monkeypatch.context() as full, pytest.raises(MemoryError):
            full.setattr(fusion, "blur_rows", out_of_memory)
            step(10**9)
        return step(1)

    assert torch.allclose(
        fuse_(global_, local, GRID, Gaussian(k, 1.0, over_channels), first_full_then_small), whole, atol=1e-6
    )


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (0, [*[(1, 8)] * 8, (1, 6)] * 2),
        (16, [*[(1, 16)] * 4, (1, 6)] * 2),
        (77, [(1, 70)] * 2),
        (160, [(2, 70)]),
    ],
)
def test_a_piece_fits_into_the_bytes_it_may_take_and_is_a_block_at_least(monkeypatch, rows, expected):
    """Two images of 70 rows, as (images, rows) at once: both whole where that fits, else rows of one. 7 taps
    read 6 rows besides."""
    grid, channels, seen = Size(70, 6), 8, []

    def noted(x, top, bottom, gaussian):
        seen.append((len(x), bottom - top))
        return blur_rows(x, top, bottom, gaussian)

    monkeypatch.setattr(fusion, "blur_rows", noted)
    one, other = torch.randn(2, 2, grid.area, channels, generator=torch.Generator().manual_seed(1))
    whole = fuse_(one.clone(), other.clone(), grid, Gaussian(7))
    seen.clear()
    got = fuse_(one, other, grid, Gaussian(7), lambda step: step((2 * rows + 6) * 6 * 8 * 4))
    assert seen == expected
    assert torch.allclose(got, whole, atol=1e-6)
