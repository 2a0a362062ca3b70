"""Settings are frozen and say what they expect; presets are the families' published values."""

import dataclasses

import pytest
import torch

from freescale_core.geometry import Size
from freescale_core.presets import PRESETS
from freescale_core.settings import (
    DetailRegion,
    DetailSettings,
    DilationSettings,
    FreeScaleSettings,
    FusionSettings,
    PromptRegion,
)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FusionSettings(mode="slow"), "mode exact or fast, got slow"),
        (lambda: FusionSettings(sigma=0), "sigma above 0, got 0"),
        (lambda: FusionSettings(end_percent=2), "end_percent between 0 and 1, got 2"),
        (lambda: FusionSettings(kernel_size=4), "an odd kernel_size, got 4"),
        (lambda: DilationSettings(factor=0), "factor of at least 1, got 0"),
        (lambda: DilationSettings(end_percent=-1), "end_percent between 0 and 1, got -1"),
        (lambda: DetailSettings(alpha=-1), "alpha of at least 0, got -1"),
        (lambda: DetailRegion(torch.zeros(2, 2), 1.0), r"masks of shape \(b, h, w\), got \(2, 2\)"),
        (lambda: DetailRegion(torch.zeros(1, 2, 2), -1.0), "alpha of at least 0, got -1.0"),
        (lambda: DetailRegion(torch.zeros(1, 2, 2), 1.0, feather=2.0), "feather between 0 and 1, got 2.0"),
        (
            lambda: PromptRegion(torch.zeros(77, 8), torch.zeros(1, 2, 2)),
            r"a context of shape \(b, tokens, channels\), got \(77, 8\)",
        ),
        (
            lambda: PromptRegion(torch.zeros(1, 77, 8), torch.zeros(2, 2)),
            r"masks of shape \(b, h, w\), got \(2, 2\)",
        ),
        (
            lambda: PromptRegion(torch.zeros(1, 77, 8), torch.zeros(1, 2, 2), 1.5),
            "strength between 0 and 1, got 1.5",
        ),
        (lambda: FreeScaleSettings(base=Size(8, 8)), "a base size of at least 64x64 pixels, got 8x8"),
        (lambda: FreeScaleSettings(base=Size(1024, 56)), "a base size of at least 64x64 pixels, got 56x1024"),
        (lambda: FreeScaleSettings(max_later_steps=0), "max_later_steps of at least 1, got 0"),
        (lambda: FreeScaleSettings(restart=-0.1), "restart from 0 to below 1, got -0.1"),
        (lambda: FreeScaleSettings(restart=1.0), "restart from 0 to below 1, got 1.0"),
    ],
)
def test_wrong_values_are_refused_in_one_sentence(make, message):
    with pytest.raises(ValueError, match=f"{message}: (choose such a value|set the size)"):
        make()


def test_settings_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        FreeScaleSettings().restart = 0.5


@pytest.mark.parametrize(
    ("name", "side", "restart"),
    [
        ("SDXL", 1024, 0.3),
        ("SDXL-Turbo", 512, 0.5),
        ("SDXL few-step (Lightning, DMD2)", 1024, 0.5),
        ("SD1.5", 512, 0.3),
    ],
)
def test_presets(name, side, restart):
    preset = PRESETS[name]
    assert (preset.base_side, preset.restart) == (side, restart)
    assert preset.fusion.over_channels
    assert preset.dilation.end_percent == 0.7
    assert preset.detail.alpha == 2.0
