"""Presets: base side, restart and the timesteps between which that restart is expected, for each family."""

import pytest

from freescale_core.presets import PRESETS, SPEEDS
from freescale_core.settings import FreeScaleSettings, FusionSettings

FEW_STEP = "SDXL few-step (Lightning, DMD2)"


@pytest.mark.parametrize(
    ("name", "side", "restart", "expected"),
    [
        ("SDXL", 1024, 0.3, (550, 800)),
        ("SDXL-Turbo", 512, 0.5, (400, 800)),
        (FEW_STEP, 1024, 0.5, (400, 800)),
        ("SD1.5", 512, 0.3, (550, 800)),
    ],
)
def test_a_preset_is_its_base_and_its_restart_and_else_the_published_settings(name, side, restart, expected):
    """4 to 8 steps of a few-step model restart at t 481 to 599 of ddim_uniform: nothing to warn about there."""
    assert PRESETS[name] == FreeScaleSettings(base_side=side, restart=restart, restart_range=expected)


def test_the_fast_speed_alone_has_neighbourhoods_and_fewer_steps():
    *_, fast = SPEEDS.values()
    assert [speed.fusion.mode for speed in SPEEDS.values()] == ["exact", "fast", "fast"]
    assert [speed.most_later_steps for speed in SPEEDS.values()] == [None, None, 15]
    assert fast.fusion == FusionSettings(mode="fast", local="neighbourhoods")
