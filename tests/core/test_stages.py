"""Which stages a cascade goes through, and where they restart."""

import pytest

from freescale_core.geometry import Size
from freescale_core.stages import ddim_uniform_timesteps, doubling_stages, restart_step


@pytest.mark.parametrize(
    ("start", "target", "expected"),
    [
        ((1024, 1024), (2048, 2048), [(2048, 2048)]),
        ((1024, 1024), (4096, 4096), [(2048, 2048), (4096, 4096)]),
        ((1024, 1024), (8192, 8192), [(2048, 2048), (4096, 4096), (8192, 8192)]),
        ((1024, 1024), (3072, 3072), [(2048, 2048), (3072, 3072)]),
        ((1024, 1024), (1536, 1536), [(1536, 1536)]),
        ((1024, 1024), (2400, 2400), [(2400, 2400)]),
        ((1216, 832), (4864, 3328), [(2432, 1664), (4864, 3328)]),
        ((768, 1344), (2160, 3840), [(1520, 2712), (2160, 3840)]),
    ],
)
def test_stages_double_and_end_at_the_target(start, target, expected):
    assert list(doubling_stages(Size(*start), Size(*target))) == expected


def test_a_target_no_larger_than_the_start_is_refused_with_both_sizes():
    with pytest.raises(ValueError, match=r"at least 1\.1 times the start 1024x1024, got 1024x1048"):
        doubling_stages(Size(1024, 1024), Size(1048, 1024))


@pytest.mark.parametrize(
    ("steps", "restart", "expected"),
    [(50, 0.3, 15), (20, 0.3, 6), (10, 0.3, 3), (15, 0.3, 5), (4, 0.5, 2), (6, 0.5, 3), (8, 0.5, 4), (50, 0.0, 0), (1, 0.3, 0)],
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
    ("steps", "first", "number"), [(50, [981, 961, 941], 50), (6, [997, 831, 665], 7), (20, [951, 901], 20), (10000, [999], 999)]
)
def test_ddim_uniform_timesteps(steps, first, number):
    timesteps = list(ddim_uniform_timesteps(steps))
    assert (timesteps[: len(first)], len(timesteps)) == (first, number)
