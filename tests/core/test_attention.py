"""The two branches of attention with identity and mean callables, whose arithmetic can be done in the head."""

from functools import partial
from itertools import product

import numpy as np
import pytest
import torch
from operations import Operations

from freescale_core.chunked_attention import chunked_attention
from freescale_core.geometry import Size
from freescale_core.strided_attention import strided_attention
from freescale_core.window_attention import in_chunks, window_attention
from freescale_core.window_gather import WindowTables, gather, upload
from freescale_core.windows import Window, WindowGrid, window_rng


def identity(q, k, v):
    return v


def softmax_attention(q, k, v):
    return torch.nn.functional.scaled_dot_product_attention(q, k, v)


def gathered(tensors, grid, windows, pad):
    """What lies on the pad is zero, as for keys and values."""
    tables, everything = WindowTables(windows, grid, pad, tensors[0].device), slice(0, len(windows))
    indices, outside = tables.indices(everything, len(tensors[0])), tables.outside(everything)
    parts = [gather(x, indices, windows[0].size) for x in tensors]
    if outside is not None:
        parts = [part.view(len(windows), -1, *part.shape[1:]).masked_fill(outside, 0.0).flatten(0, 1) for part in parts]
    return parts


def tokens(grid, channels=4, batch=2):
    return torch.randn(batch, grid[0] * grid[1], channels, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("grid", "window"), [((64, 64), (32, 32)), ((33, 40), (17, 20)), ((9, 14), (5, 7)), ((16, 16), (16, 16))])
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
    out = window_attention(q, k, torch.full((1, 1, 1), 6.0), Size(1, 1), [Window(0, 1, 0, 2)], Size(0, 1), softmax_attention)
    assert out.item() == pytest.approx(3.0)


def test_padded_tokens_have_the_logit_0_whatever_the_key_beside_them():
    """One token of value 6 and logit ln 5 beside one pad token of logit 0: five sixths of 6, not half."""
    q, k = torch.ones(1, 1, 1), torch.full((1, 1, 1), 5.0).log()
    out = window_attention(q, k, torch.full((1, 1, 1), 6.0), Size(1, 1), [Window(0, 1, 0, 2)], Size(0, 1), softmax_attention)
    assert out.item() == pytest.approx(5.0)


@pytest.mark.parametrize("top", [0, 2, 3, 5])
@pytest.mark.parametrize("left", [0, 3, 4, 6])
def test_gathered_windows_are_cuts_of_the_padded_grid(top, left):
    """Two pictures of 5 x 6 tokens, padded by 2 and 3: windows of 4 x 6 over every border, every corner and none."""
    grid, pad, x = Size(5, 6), Size(2, 3), tokens((5, 6))
    windows = [Window(top, top + 4, left, left + 6), Window(2, 6, 3, 9)]
    got = gathered((x, -2 * x), grid, windows, pad)
    padded = torch.nn.functional.pad(x.unflatten(1, grid), (0, 0, 3, 3, 2, 2))
    expected = torch.cat([padded[:, w.top : w.bottom, w.left : w.right].flatten(1, 2) for w in windows])
    assert torch.equal(got[0], expected)
    assert torch.equal(got[1], -2 * expected)


def test_a_window_wider_than_the_grid_is_zero_on_both_sides():
    x = torch.ones(1, 2, 1)
    assert gathered((x,), Size(1, 2), [Window(0, 3, 0, 4)], Size(1, 1))[0].flatten().tolist() == [0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]


def test_tokens_that_are_a_view_of_something_larger_are_gathered_as_well():
    """Some nodes project q, k, v at once and cut the result."""
    x = tokens((3, 4), 12).chunk(3, dim=2)[1]
    windows = [Window(0, 2, 0, 3), Window(1, 3, 1, 4)]
    got, expected = (gathered((y,), Size(3, 4), windows, Size(0, 0))[0] for y in (x, x.contiguous()))
    assert torch.equal(got, expected)


def test_gathering_writes_into_no_part_of_a_tensor():
    """index_select(out=) ignores where a part begins on Apple's GPUs."""
    x, windows = tokens((5, 6)), [Window(0, 4, 0, 6), Window(2, 6, 3, 9)]
    with Operations() as seen:
        gathered((x, x), Size(5, 6), windows, Size(2, 3))
    assert "aten.index_select.default" in seen.names
    assert "aten.index_select.out" not in seen.names


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


@pytest.mark.parametrize("length", [1, 9, 2**15, 2**16, 2**16 + 1, 300_000])
def test_an_upload_in_pieces_is_the_whole_array(length):
    for array in (np.arange(length).astype(np.uint8)[:, None], np.arange(length)[:, None]):
        assert np.array_equal(upload(array, torch.device("cpu")).numpy(), array)


@pytest.mark.parametrize(("most", "sizes"), [(9, [9]), (8, [4, 5]), (4, [3, 3, 3]), (2, [1, 2, 2, 2, 2]), (0, [1] * 9)])
def test_chunks_are_as_few_and_as_even_as_can_be(most, sizes):
    assert sorted(len(chunk) for chunk in in_chunks(range(9), most)) == sizes
    assert [item for chunk in in_chunks(range(9), most) for item in chunk] == list(range(9))


def test_projecting_once_equals_projecting_every_window():
    grid, window = Size(12, 12), WindowGrid(Size(12, 12), Size(8, 8))
    windows = window.draw(window_rng(0, 1.0))
    x, weight = tokens(grid, 8), torch.randn(8, 8, generator=torch.Generator().manual_seed(1))
    once = window_attention(x @ weight, x @ weight, x @ weight, grid, windows, window.jitter, softmax_attention)
    each = window_attention(x, x, x, grid, windows, window.jitter, lambda q, k, v: softmax_attention(q @ weight, k @ weight, v @ weight))
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
    window_attention(x, x, x, grid.grid, grid.draw(window_rng(0, 1.0)), grid.jitter, attend, bytes_at_once=bytes_at_once)
    assert len(sizes) == calls
    assert max(sizes) <= max(bytes_at_once or x.nbytes, 4 * 4096)
    assert sum(sizes) == 49 * 4 * 4096


@pytest.mark.parametrize("bytes_at_once", [1, 20000, 10**9])
def test_any_bound_gives_the_same_windows_and_the_given_tensor_is_filled(bytes_at_once):
    grid, x = WindowGrid(Size(33, 40), Size(17, 20)), tokens((33, 40))
    windows = grid.draw(window_rng(0, 1.0))
    expected = window_attention(x, x, x, grid.grid, windows, grid.jitter, softmax_attention)
    both = torch.full((4, *x.shape[1:]), 7.0)
    got = window_attention(x, x, x, grid.grid, windows, grid.jitter, softmax_attention, both[2:], bytes_at_once)
    assert got.data_ptr() == both[2:].data_ptr()
    assert torch.allclose(got, expected, atol=1e-6)
    assert both[:2].eq(7).all()


@pytest.mark.parametrize("bytes_at_once", [1, 1000, 10**9])
def test_full_attention_in_chunks_of_queries_is_full_attention(bytes_at_once):
    x = tokens((5, 7))
    out = torch.empty_like(x)
    assert torch.allclose(chunked_attention(x, x, x, softmax_attention, bytes_at_once), softmax_attention(x, x, x), atol=1e-6)
    got = chunked_attention(x, x, x, softmax_attention, bytes_at_once, out)
    assert got is out
    assert torch.allclose(got, softmax_attention(x, x, x), atol=1e-6)


@pytest.mark.parametrize(("bytes_at_once", "calls"), [(1, 35), (3 * 16, 12), (34 * 16, 2), (35 * 16, 1), (10**9, 1)])
def test_chunks_of_queries_keep_within_the_bound_and_are_as_few_as_can_be(bytes_at_once, calls):
    """35 tokens with 4 float32 channels: 16 bytes each."""
    sizes, x = [], tokens((5, 7), batch=1)

    def attend(q, k, v):
        sizes.append(q.nbytes)
        return q

    chunked_attention(x, x, x, attend, bytes_at_once)
    assert len(sizes) == calls
    assert max(sizes) <= max(bytes_at_once, 16)


@pytest.mark.parametrize(("grid", "strides"), [((8, 8), (2, 2)), ((9, 7), (2, 3)), ((8, 6), (4, 1))])
def test_strided_attention_of_identity_gives_the_tokens_back(grid, strides):
    x = tokens(grid)
    assert torch.equal(strided_attention(x, x, x, Size(*grid), Size(*strides), identity), x)
    out = torch.zeros_like(x)
    assert strided_attention(x, x, x, Size(*grid), Size(*strides), identity, out) is out
    assert torch.equal(out, x)


def test_strided_attention_mixes_only_tokens_of_one_sub_grid():
    x = torch.arange(16.0).reshape(1, 16, 1)
    mean = strided_attention(x, x, x, Size(4, 4), Size(2, 2), lambda q, k, v: v.mean(1, keepdim=True).expand_as(v))
    assert mean.reshape(4, 4)[:2, :2].flatten().tolist() == [5.0, 6.0, 9.0, 10.0]
    assert torch.equal(mean.reshape(4, 4)[:2, :2], mean.reshape(4, 4)[2:, 2:])


@pytest.mark.parametrize("parts", [0, 1, 2, 3, 5, 6, None])
@pytest.mark.parametrize(("grid", "strides"), [((8, 9), (2, 3)), ((7, 11), (2, 3)), ((5, 4), (3, 2))])
def test_sub_grids_of_one_size_go_together_as_far_as_the_bound_lets_them(grid, strides, parts):
    """Each is attended by itself: some have a row or a column more. Of q, k and v that are a slice of something wider."""
    q, k, v = (tokens(grid, 12).chunk(3, dim=2)[i] for i in range(3))
    images, expected, seen = [x.unflatten(1, grid) for x in (q, k, v)], torch.empty(2, *grid, 4), []
    for a, b in product(range(strides[0]), range(strides[1])):
        part = [x[:, a :: strides[0], b :: strides[1]].flatten(1, 2) for x in images]
        expected[:, a :: strides[0], b :: strides[1]] = softmax_attention(*part).view(
            2, *images[0][:, a :: strides[0], b :: strides[1]].shape[1:]
        )

    def attend(*some):
        seen.append(len(some[0]) // 2)
        return softmax_attention(*some)

    most = None if parts is None else parts * (4 * v.numel() * 4 // (strides[0] * strides[1])) + 1
    got = strided_attention(q, k, v, Size(*grid), Size(*strides), attend, bytes_at_once=most)
    assert torch.allclose(got, expected.flatten(1, 2), atol=1e-6)
    assert sum(seen) == strides[0] * strides[1]
    assert max(seen) <= max(1, strides[0] * strides[1] // 4 if parts is None else parts)


def test_stride_one_is_full_attention():
    x = tokens((4, 4))
    assert torch.equal(strided_attention(x, x, x, Size(4, 4), Size(1, 1), softmax_attention), softmax_attention(x, x, x))
