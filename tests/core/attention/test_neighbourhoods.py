"""The cheaper local branch: where patches and neighbourhoods lie, identity attention, and a plain loop over
tokens."""

import pytest
import torch
from operations import Operations

from freescale_core.attention import neighbourhoods as neighbourhood_module
from freescale_core.attention.neighbourhoods import neighbourhood_attention, neighbourhoods
from freescale_core.geometry import Size

GRIDS = [
    ((64, 64), (32, 32)),
    ((33, 40), (17, 20)),
    ((9, 14), (5, 7)),
    ((8, 12), (8, 4)),
    ((16, 16), (16, 16)),
    ((3, 5), (1, 2)),
]


def softmax_attention(q, k, v):
    return torch.nn.functional.scaled_dot_product_attention(q, k, v)


def tokens(grid, channels=4, batch=2):
    return torch.randn(batch, grid[0] * grid[1], channels, generator=torch.Generator().manual_seed(0))


def test_patches_tile_the_grid_and_neighbourhoods_are_moved_inwards_at_the_border():
    pairs = neighbourhoods(Size(4, 8), Size(4, 4))
    assert [tuple(queries) for queries, _ in pairs] == [
        (t, t + 2, x, x + 2) for t in (0, 2) for x in (0, 2, 4, 6)
    ]
    assert [tuple(keys) for _, keys in pairs] == [(0, 4, x, x + 4) for _ in (0, 2) for x in (0, 1, 3, 4)]


@pytest.mark.parametrize(("grid", "window"), GRIDS)
def test_every_token_is_covered_and_lies_in_its_own_neighbourhood(grid, window):
    covered = torch.zeros(grid)
    for queries, keys in neighbourhoods(Size(*grid), Size(*window)):
        covered[queries.top : queries.bottom, queries.left : queries.right] += 1
        assert keys.size == window
        assert 0 <= keys.top <= queries.top < queries.bottom <= keys.bottom <= grid[0]
        assert 0 <= keys.left <= queries.left < queries.right <= keys.right <= grid[1]
    assert covered.min() == 1
    assert covered.max() == 1 or any(
        length % max(1, size // 2) for length, size in zip(grid, window, strict=True)
    )


@pytest.mark.parametrize(("grid", "window"), GRIDS)
def test_queries_are_put_back_where_they_came_from(grid, window):
    x = tokens(grid)
    assert torch.equal(neighbourhood_attention(x, x, x, Size(*grid), Size(*window), lambda q, k, v: q), x)


@pytest.mark.parametrize("bytes_at_once", [None, 1, 20000])
@pytest.mark.parametrize(("grid", "window"), GRIDS)
def test_it_equals_a_plain_loop_over_patches(grid, window, bytes_at_once):
    grid, window = Size(*grid), Size(*window)
    q, k, v = (tokens(grid) * factor for factor in (1, 2, 3))
    images = [x.reshape(2, *grid, -1) for x in (q, k, v)]
    expected = torch.empty_like(images[2])
    for queries, keys in neighbourhoods(grid, window):
        a, b = ((slice(None), slice(w.top, w.bottom), slice(w.left, w.right)) for w in (queries, keys))
        out = softmax_attention(
            images[0][a].flatten(1, 2), images[1][b].flatten(1, 2), images[2][b].flatten(1, 2)
        )
        expected[a] = out.reshape(expected[a].shape)
    got = neighbourhood_attention(q, k, v, grid, window, softmax_attention, bytes_at_once=bytes_at_once)
    assert torch.allclose(got, expected.flatten(1, 2), atol=1e-6)


@pytest.mark.parametrize(("grid", "window"), GRIDS)
def test_one_indexed_copy_stores_what_a_copy_for_each_patch_stores(grid, window, monkeypatch):
    """Also from an attention that returns other numbers than it got, into some channels of a wider tensor.
    Patches that overlap have two results for some tokens, of which the last one counts."""
    q, k, v = (tokens(grid) * factor for factor in (1, 2, 3))

    def attend(q, k, v):
        return softmax_attention(q, k, v).double()

    outs, indexed = [], []
    for devices in ((), ("cpu",)):
        monkeypatch.setattr(neighbourhood_module, "INDEXED_COPY_DEVICES", devices)
        wider = torch.zeros(2, grid[0] * grid[1], 8)
        with Operations() as seen:
            neighbourhood_attention(
                q, k, v, Size(*grid), Size(*window), attend, wider[..., 2:6], bytes_at_once=3000
            )
        outs.append(wider)
        indexed.append("aten.index_copy_.default" in seen.names)
    assert torch.equal(*outs)
    assert indexed == [
        False,
        all(length % max(1, side // 2) == 0 for length, side in zip(grid, window, strict=True)),
    ]
    assert not outs[0][..., :2].any() and not outs[0][..., 6:].any() and outs[0][..., 2:6].any()


def test_a_window_of_the_whole_grid_is_full_attention():
    x = tokens((6, 6))
    got = neighbourhood_attention(x, x, x, Size(6, 6), Size(6, 6), softmax_attention)
    assert torch.allclose(got, softmax_attention(x, x, x), atol=1e-6)


@pytest.mark.parametrize(("scale", "share"), [(2, 4 / 9), (4, 16 / 49), (8, 64 / 225)])
def test_it_costs_less_than_overlapping_windows_of_the_same_size(scale, share):
    grid, window = Size(32 * scale, 32 * scale), Size(32, 32)
    products = sum(queries.size.area * keys.size.area for queries, keys in neighbourhoods(grid, window))
    assert products / ((2 * scale - 1) ** 2 * window.area**2) == pytest.approx(share)


@pytest.mark.parametrize(("bytes_at_once", "calls"), [(None, 16), (4 * 2560, 4), (2560, 16), (1, 16)])
def test_patches_are_attended_in_chunks_within_the_bound_of_bytes(bytes_at_once, calls):
    """16 patches of 4 x 4 tokens with 8 x 8 keys, 4 float32 channels: q and out 256 bytes each, k and v
    1024."""
    sizes, x = [], tokens((16, 16), batch=1)

    def attend(q, k, v):
        sizes.append(2 * q.nbytes + k.nbytes + v.nbytes)
        return q

    neighbourhood_attention(x, x, x, Size(16, 16), Size(8, 8), attend, bytes_at_once=bytes_at_once)
    assert len(sizes) == calls
    assert max(sizes) <= max(bytes_at_once or x.nbytes, 2560)
    assert sum(sizes) == 16 * 2560
