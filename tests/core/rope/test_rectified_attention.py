"""Rectified attention against a plain loop over queries, in any layout of tokens, heads and memory."""

import pytest
import torch

from freescale_core.geometry import Size
from freescale_core.rope.frequencies import frequencies, turned, turning
from freescale_core.rope.positions import rectified_positions
from freescale_core.rope.rectified_attention import RectifiedAxis, Tiling, TokenPlaces, rectified_attention

GRID, CPU = Size(7, 10), torch.device("cpu")
Y = RectifiedAxis(7, 3, 4, 1, 4, 6, tuple(frequencies(6, 100.0).tolist()))
X = RectifiedAxis(10, 4, 5, 1, 10, 6, tuple(frequencies(6, 100.0).tolist()))


def attend(q, k, v, mask):
    share = q.shape[1] // k.shape[1]
    k, v = (t.repeat_interleave(share, 1) for t in (k, v))
    out = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return out.transpose(1, 2).flatten(2)


def tokens(heads=2, key_heads=2, text=5):
    generator = torch.Generator().manual_seed(0)
    n = GRID.area + text
    q, k, v = (torch.randn(2, h, n, 16, generator=generator) for h in (heads, key_heads, key_heads))
    rows = torch.cat([torch.zeros(text), torch.arange(7).repeat_interleave(10)]).long()
    columns = torch.cat([torch.zeros(text), torch.arange(10).repeat(7)]).long()
    return 2.0 * q, k, v, TokenPlaces(rows, columns, GRID, range(text, n))


def one_by_one(q, k, v, places, mask=None):
    """Each query alone, with keys turned for it."""
    out = []
    for n, (row, column) in enumerate(zip(places.rows.tolist(), places.columns.tolist(), strict=True)):
        seen = k.clone()
        for axis, position, where in ((Y, row, places.rows), (X, column, places.columns)):
            first = position // axis.tile * axis.tile
            last = min(first + axis.tile, axis.length) - 1
            moved = rectified_positions(axis.length, first, last, axis.max_relative, axis.threshold)
            by = (moved - torch.arange(axis.length))[where]
            turn = turning(by, torch.tensor(axis.omegas, dtype=torch.float64), CPU)
            seen[..., axis.channels] = turned(seen[..., axis.channels], turn)
        own = None if mask is None else mask[..., n : n + 1, :] if mask.shape[-2] > 1 else mask
        out.append(attend(q[:, :, n : n + 1], seen, v, own))
    return torch.cat(out, 1)


def error(got, wanted):
    return float((got - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("bytes_at_once", [None, 1])
@pytest.mark.parametrize(("heads", "key_heads"), [(2, 2), (4, 2)])
@pytest.mark.parametrize("text", [0, 5])
def test_it_equals_a_loop_over_queries(bytes_at_once, heads, key_heads, text):
    q, k, v, places = tokens(heads, key_heads, text)
    before = k.clone()
    got = rectified_attention(q, k, v, Tiling.of(places, Y, X, CPU), attend, None, bytes_at_once)
    assert error(got, one_by_one(q, k, v, places)) < 1e-6
    assert error(got, attend(q, k, v, None)) > 0.05
    assert torch.equal(k, before)


@pytest.mark.parametrize("rows", [1, GRID.area + 5])
def test_a_mask_goes_with_its_queries(rows):
    q, k, v, places = tokens()
    mask = torch.randn(2, 1, rows, GRID.area + 5, generator=torch.Generator().manual_seed(4))
    got = rectified_attention(q, k, v, Tiling.of(places, Y, X, CPU), attend, mask)
    assert error(got, one_by_one(q, k, v, places, mask)) < 1e-6


def test_with_a_wide_reach_it_is_plain_attention():
    q, k, v, places = tokens()
    axes = [RectifiedAxis(a.length, a.tile, a.length, a.threshold, a.first, a.dims, a.omegas) for a in (Y, X)]
    tiling = Tiling.of(places, *axes, CPU)
    assert tiling.is_identity
    assert error(rectified_attention(q, k, v, tiling, attend), attend(q, k, v, None)) < 1e-6


def test_a_small_bound_attends_with_one_head_at_a_time():
    q, k, v, places = tokens(4, 4)
    heads = []

    def counted(q, k, v, mask):
        heads.append((q.shape[1], k.shape[1]))
        return attend(q, k, v, mask)

    rectified_attention(q, k, v, Tiling.of(places, Y, X, CPU), counted, None, 1)
    assert set(heads) == {(1, 1)}
