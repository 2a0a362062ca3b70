"""Windows: how many, where, how far the jitter moves them, and that the seed alone decides."""

import random

import numpy as np
import pytest
import torch

from freescale_core.attention.windows import WindowGrid, window_rng
from freescale_core.geometry import Size

GRIDS = [
    ((64, 64), (32, 32)),
    ((128, 128), (32, 32)),
    ((256, 256), (32, 32)),
    ((38, 26), (19, 13)),
    ((45, 60), (32, 32)),
    ((9, 14), (5, 7)),
    ((40, 20), (32, 32)),
]


def draw(grid, window, seed=0, jittered=True):
    windows = WindowGrid(Size(*grid), Size(*window), jittered)
    return windows, windows.draw(window_rng(seed, 3.0, 0, 4, 0))


@pytest.mark.parametrize(("scale", "count"), [(1, 1), (2, 9), (4, 49), (8, 225)])
def test_there_are_2s_minus_1_squared_windows(scale, count):
    assert len(draw((32 * scale, 32 * scale), (32, 32))[1]) == count


def test_unjittered_windows_are_half_a_window_apart_and_the_last_is_clamped():
    _, windows = draw((5, 8), (4, 4), jittered=False)
    assert [tuple(w) for w in windows] == [(t, t + 4, x, x + 4) for t in (0, 1) for x in (0, 2, 4)]


@pytest.mark.parametrize(("grid", "window"), GRIDS)
@pytest.mark.parametrize("seed", range(3))
def test_windows_stay_in_the_padded_grid_and_cover_every_token(grid, window, seed):
    geometry, windows = draw(grid, window, seed)
    pad = geometry.jitter
    count = np.zeros((grid[0] + 2 * pad.height, grid[1] + 2 * pad.width), int)
    for top, bottom, left, right in windows:
        assert 0 <= top < bottom <= count.shape[0]
        assert 0 <= left < right <= count.shape[1]
        assert (bottom - top, right - left) == geometry.clipped
        count[top:bottom, left:right] += 1
    assert count[pad.height : pad.height + grid[0], pad.width : pad.width + grid[1]].min() >= 1


def test_first_and_last_windows_only_move_outwards_and_all_shifts_occur():
    tops = np.array([[w.top for w in draw((64, 64), (32, 32), seed)[1]] for seed in range(200)])
    plain = np.array([w.top for w in draw((64, 64), (32, 32), jittered=False)[1]])
    shifts = tops - plain - 4  # 4 = pad
    assert set(shifts[:, :3].ravel()) == set(range(-4, 1))
    assert set(shifts[:, 3:6].ravel()) == set(range(-4, 5))
    assert set(shifts[:, 6:].ravel()) == set(range(5))


@pytest.mark.parametrize(
    ("grid", "window"), [((64, 64), (32, 32)), ((33, 40), (17, 20)), ((32, 96), (32, 32)), ((14, 14), (7, 7))]
)
def test_all_shifts_at_once_are_the_numbers_drawn_one_by_one(grid, window):
    """Row by row, row shift before column shift: the windows of a seed never change."""
    geometry, windows = draw(grid, window, seed=5)
    rng, expected = window_rng(5, 3.0, 0, 4, 0), []
    rows, columns = geometry.starts
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            for start, index, count, jitter in zip(
                (row, column), (i, j), (len(rows), len(columns)), geometry.jitter, strict=True
            ):
                low, high = 0 if index == count - 1 else -jitter, 0 if index == 0 else jitter
                expected.append(start + jitter + int(rng.integers(low, high, endpoint=True)))
    assert [(w.top, w.left) for w in windows] == list(zip(expected[::2], expected[1::2], strict=True))


def test_a_window_that_spans_an_axis_does_not_move_on_it():
    geometry, windows = draw((32, 64), (32, 32))
    assert {w.top for w in windows} == {geometry.jitter.height}


def test_windows_under_eight_tokens_have_no_jitter_and_still_work():
    geometry, windows = draw((14, 14), (7, 7))
    assert geometry.jitter == (0, 0)
    assert sorted({w.top for w in windows}) == [0, 3, 6, 7]


def test_each_axis_has_the_jitter_of_its_own_side():
    geometry, windows = draw((64, 64), (32, 16))
    assert geometry.jitter == (4, 2)
    assert max(w.bottom for w in windows) <= 64 + 2 * 4
    assert max(w.right for w in windows) <= 64 + 2 * 2
    assert WindowGrid(Size(64, 64), Size(32, 16), jittered=False).jitter == (0, 0)


def test_draws_depend_on_seed_sigma_and_block_only():
    grid = WindowGrid(Size(64, 64), Size(32, 32))
    same = grid.draw(window_rng(7, 3.25, 0, 4, 1))
    assert same == grid.draw(window_rng(7, 3.25, 0, 4, 1))
    for other in [
        (8, 3.25, 0, 4, 1),
        (7 + 2**32, 3.25, 0, 4, 1),
        (7, 3.5, 0, 4, 1),
        (7, 3.25, 2, 4, 1),
        (7, 3.25, 0, 5, 1),
        (7, 3.25, 0, 4, 0),
    ]:
        assert same != grid.draw(window_rng(*other))


def test_draws_touch_no_global_generator():
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    draw((64, 64), (32, 32))
    assert before == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())


def test_an_empty_window_is_refused():
    with pytest.raises(ValueError, match="at least 1x1 tokens, got grid 64x64 and window 32x0"):
        WindowGrid(Size(64, 64), Size(0, 32))
