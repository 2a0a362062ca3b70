"""Noise levels, timesteps and the restart."""

import pytest

from freescale_core.schedule import ddim_uniform_timesteps, restart_step


@pytest.mark.parametrize(
    ("steps", "restart", "expected"),
    [
        (50, 0.3, 15),
        (20, 0.3, 6),
        (10, 0.3, 3),
        (15, 0.3, 5),
        (4, 0.5, 2),
        (6, 0.5, 3),
        (8, 0.5, 4),
        (50, 0.0, 0),
        (1, 0.3, 0),
    ],
)
def test_restart_step_of_ddim_uniform(steps, restart, expected):
    assert restart_step(ddim_uniform_timesteps(steps), restart) == expected


@pytest.mark.parametrize(
    ("timesteps", "restart", "expected"),
    [
        ([999, 700, 400], 0.3, 1),  # just there
        ([999, 700.009, 400], 0.3, 1),  # just there, but for rounding
        ([999, 700.1, 400], 0.3, 2),
        ([999, 900, 800], 0.3, 2),  # never there: the last step
        ([999, 500, 0], 0.0, 0),  # everything
    ],
)
def test_a_stage_restarts_at_the_first_step_below_its_share(timesteps, restart, expected):
    assert restart_step(timesteps, restart) == expected


@pytest.mark.parametrize(
    ("steps", "first", "number"),
    [(50, [981, 961, 941], 50), (6, [997, 831, 665], 7), (20, [951, 901], 20), (10000, [999], 999)],
)
def test_ddim_uniform_timesteps(steps, first, number):
    timesteps = list(ddim_uniform_timesteps(steps))
    assert (timesteps[: len(first)], len(timesteps)) == (first, number)
