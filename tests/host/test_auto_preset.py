"""Preset Auto: which of the presets a MODEL gets by its kind."""

import comfy.model_base
import pytest
from freescale_pack.freescale_core.presets import PRESETS
from freescale_pack.nodes.backbones.unet import auto_preset

KINDS = comfy.model_base


def model_of(kind, context_dim):
    """A MODEL of a kind, without a network."""
    base = kind.__new__(kind)
    object.__setattr__(
        base, "model_config", type("Config", (), {"unet_config": {"context_dim": context_dim}})
    )
    return type("Model", (), {"model": base})


@pytest.mark.parametrize(
    ("kind", "context_dim", "preset", "warned"),
    [
        (KINDS.SDXL, 2048, "SDXL", False),
        (KINDS.SDXL_instructpix2pix, 2048, "SDXL", False),
        (KINDS.SDXLRefiner, 1280, "SDXL", False),
        (KINDS.BaseModel, 768, "SD1.5", False),
        (KINDS.SVD_img2vid, 1024, "SVD", False),
        (KINDS.SV3D_u, 1024, "SD1.5", True),  # SVD's structure, trained at 576
        (KINDS.BaseModel, 1024, "SD1.5", True),  # SD2, trained at 512 or at 768
    ],
)
def test_the_kind_of_model_decides_and_an_unknown_one_is_warned_about(
    caplog, kind, context_dim, preset, warned
):
    assert auto_preset(model_of(kind, context_dim)) is PRESETS[preset]
    assert ("does not know this model and takes SD1.5's base size 512" in caplog.text) == warned
