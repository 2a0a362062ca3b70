"""The local branch: attention inside overlapping windows."""

from functools import partial

import pytest
import torch
from operations import identity, softmax_attention, tokens

from freescale_core.attention.overlapping import window_attention
from freescale_core.attention.windows import Window, WindowGrid, window_rng
from freescale_core.geometry import Size


@pytest.mark.parametrize(
    ("grid", "window"), [((64, 64), (32, 32)), ((33, 40), (17, 20)), ((9, 14), (5, 7)), ((16, 16), (16, 16))]
)
def test_windows_of_identity_give_the_tokens_back(grid, window):
    windows = WindowGrid(Size(*grid), Size(*window))
    x = tokens(grid)
    out = window_attention(x, x, x, Size(*grid), windows.draw(window_rng(0, 1.0)), windows.jitter, identity)
    assert torch.allclose(out, x, atol=1e-6)


def test_overlaps_are_averaged_plainly():
    values = iter([torch.full((1, 2, 1), 1.0), torch.full((1, 2, 1), 4.0)])
    windows = [Window(0, 1, 0, 2), Window(0, 1, 1, 3)]
    x = torch.zeros(1, 3, 1)
    out = window_attention(x, x, x, Size(1, 3), windows, Size(0, 0), lambda q, k, v: next(values))
    assert out.flatten().tolist() == [1.0, 2.5, 4.0]


def test_padded_tokens_take_part_as_zero_keys_and_values():
    """One token of value 6 beside one pad token, equal logits 0: the mean is 3, not 6."""
    q = k = torch.zeros(1, 1, 1)
    out = window_attention(
        q, k, torch.full((1, 1, 1), 6.0), Size(1, 1), [Window(0, 1, 0, 2)], Size(0, 1), softmax_attention
    )
    assert out.item() == pytest.approx(3.0)


def test_padded_tokens_have_the_logit_0_whatever_the_key_beside_them():
    """One token of value 6 and logit ln 5 beside one pad token of logit 0: five sixths of 6, not half."""
    q, k = torch.ones(1, 1, 1), torch.full((1, 1, 1), 5.0).log()
    out = window_attention(
        q, k, torch.full((1, 1, 1), 6.0), Size(1, 1), [Window(0, 1, 0, 2)], Size(0, 1), softmax_attention
    )
    assert out.item() == pytest.approx(5.0)


def test_queries_on_the_pad_may_hold_any_token_and_change_nothing():
    grid = WindowGrid(Size(33, 40), Size(17, 20))
    windows, x, seen = grid.draw(window_rng(0, 1.0)), tokens((33, 40)), []

    def attend(q, k, v, of_pad=None):
        on_pad = v.eq(0).all(2)
        seen.append(bool(q[on_pad].any()))
        return softmax_attention(q if of_pad is None else q.masked_fill(on_pad[..., None], of_pad), k, v)

    expected = window_attention(x, x, x, grid.grid, windows, grid.jitter, attend)
    for of_pad in (0.0, 1e3):
        got = window_attention(x, x, x, grid.grid, windows, grid.jitter, partial(attend, of_pad=of_pad))
        assert torch.equal(got, expected)
    assert any(seen)


def test_projecting_once_equals_projecting_every_window():
    grid, window = Size(12, 12), WindowGrid(Size(12, 12), Size(8, 8))
    windows = window.draw(window_rng(0, 1.0))
    x, weight = tokens(grid, 8), torch.randn(8, 8, generator=torch.Generator().manual_seed(1))
    once = window_attention(
        x @ weight, x @ weight, x @ weight, grid, windows, window.jitter, softmax_attention
    )
    each = window_attention(
        x,
        x,
        x,
        grid,
        windows,
        window.jitter,
        lambda q, k, v: softmax_attention(q @ weight, k @ weight, v @ weight),
    )
    assert torch.allclose(once, each, atol=1e-5)


@pytest.mark.parametrize(("bytes_at_once", "calls"), [(None, 13), (64 * 64 * 4 * 4 * 4, 4), (1, 49)])
def test_windows_are_attended_in_chunks_within_the_bound_of_bytes(bytes_at_once, calls):
    """49 windows of 16 x 16 tokens with 4 float32 channels: q, k, v and out of one take 4 * 4096 bytes."""
    sizes = []

    def attend(q, k, v):
        sizes.append(q.nbytes * 4)
        return v

    grid = WindowGrid(Size(64, 64), Size(16, 16), jittered=False)
    x = tokens((64, 64), batch=1)
    window_attention(
        x, x, x, grid.grid, grid.draw(window_rng(0, 1.0)), grid.jitter, attend, bytes_at_once=bytes_at_once
    )
    assert len(sizes) == calls
    assert max(sizes) <= max(bytes_at_once or x.nbytes, 4 * 4096)
    assert sum(sizes) == 49 * 4 * 4096


@pytest.mark.parametrize("bytes_at_once", [1, 20000, 10**9])
def test_any_bound_gives_the_same_windows_and_the_given_tensor_is_filled(bytes_at_once):
    grid, x = WindowGrid(Size(33, 40), Size(17, 20)), tokens((33, 40))
    windows = grid.draw(window_rng(0, 1.0))
    expected = window_attention(x, x, x, grid.grid, windows, grid.jitter, softmax_attention)
    both = torch.full((4, *x.shape[1:]), 7.0)
    got = window_attention(
        x, x, x, grid.grid, windows, grid.jitter, softmax_attention, both[2:], bytes_at_once
    )
    assert got.data_ptr() == both[2:].data_ptr()
    assert torch.allclose(got, expected, atol=1e-6)
    assert both[:2].eq(7).all()
