"""The tokens of many windows in one call."""

import numpy as np
import pytest
import torch
from operations import Operations, tokens

from freescale_core.attention.gather import WindowTables, gather, upload
from freescale_core.attention.windows import Window
from freescale_core.geometry import Size


def gathered(tensors, grid, windows, pad):
    """What lies on the pad is zero, as for keys and values."""
    tables, everything = WindowTables(windows, grid, pad, tensors[0].device), slice(0, len(windows))
    indices, outside = tables.indices(everything, len(tensors[0])), tables.outside(everything)
    parts = [gather(x, indices, windows[0].size) for x in tensors]
    if outside is not None:
        parts = [
            part.view(len(windows), -1, *part.shape[1:]).masked_fill(outside, 0.0).flatten(0, 1)
            for part in parts
        ]
    return parts


@pytest.mark.parametrize("top", [0, 2, 3, 5])
@pytest.mark.parametrize("left", [0, 3, 4, 6])
def test_gathered_windows_are_cuts_of_the_padded_grid(top, left):
    """Two pictures of 5 x 6 tokens, padded by 2 and 3: windows of 4 x 6 over every border, every corner and
    none."""
    grid, pad, x = Size(5, 6), Size(2, 3), tokens((5, 6))
    windows = [Window(top, top + 4, left, left + 6), Window(2, 6, 3, 9)]
    got = gathered((x, -2 * x), grid, windows, pad)
    padded = torch.nn.functional.pad(x.unflatten(1, grid), (0, 0, 3, 3, 2, 2))
    expected = torch.cat([padded[:, w.top : w.bottom, w.left : w.right].flatten(1, 2) for w in windows])
    assert torch.equal(got[0], expected)
    assert torch.equal(got[1], -2 * expected)


def test_a_window_wider_than_the_grid_is_zero_on_both_sides():
    x = torch.ones(1, 2, 1)
    assert gathered((x,), Size(1, 2), [Window(0, 3, 0, 4)], Size(1, 1))[0].flatten().tolist() == [
        0,
        0,
        0,
        0,
        0,
        1,
        1,
        0,
        0,
        0,
        0,
        0,
    ]


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


@pytest.mark.parametrize("length", [1, 9, 2**15, 2**16, 2**16 + 1, 300_000])
def test_an_upload_in_pieces_is_the_whole_array(length):
    for array in (np.arange(length).astype(np.uint8)[:, None], np.arange(length)[:, None]):
        assert np.array_equal(upload(array, torch.device("cpu")).numpy(), array)
