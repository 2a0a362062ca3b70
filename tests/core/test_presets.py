"""Presets: base side, restart and the timesteps between which that restart is expected, for each family."""

import pytest

from freescale_core.presets import PRESETS, SPEEDS
from freescale_core.settings import DetailSettings, DilationSettings, FreeScaleSettings, FusionSettings

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
    """A few-step model that skips half of 4 to 8 steps restarts near t 500: nothing to warn about."""
    assert PRESETS[name] == FreeScaleSettings(base_side=side, restart=restart, restart_range=expected)


def test_settings_without_a_word_are_the_published_ones():
    """3-D Gaussian of 1 token, jitter, dilation until t 300, alpha 2, base 1024, restart at 30 %."""
    settings = FreeScaleSettings()
    assert settings.fusion == FusionSettings(
        "exact", over_channels=True, sigma=1.0, jitter=True, end_percent=1.0, local="windows"
    )
    assert settings.dilation == DilationSettings(factor=None, end_percent=0.7)
    assert settings.detail == DetailSettings(alpha=2.0, regions=())
    assert (settings.base, settings.base_side, settings.restart) == (None, 1024, 0.3)


def test_the_fast_speed_alone_has_neighbourhoods_and_fewer_steps():
    *_, fast = SPEEDS.values()
    assert [speed.fusion.mode for speed in SPEEDS.values()] == ["exact", "fast", "fast"]
    assert [speed.max_later_steps for speed in SPEEDS.values()] == [None, None, 15]
    assert fast.fusion == FusionSettings(mode="fast", local="neighbourhoods")
