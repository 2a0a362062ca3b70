"""Nodes as they are when put on the canvas: their widgets' defaults are the published settings."""

import pytest
from freescale_pack.freescale_core.presets import PRESETS
from freescale_pack.freescale_core.settings import DetailSettings, DilationSettings, FusionSettings
from freescale_pack.nodes.cascade_node import FreeScaleCascade
from freescale_pack.nodes.model_patch_node import FreeScaleModelPatch
from freescale_pack.nodes.part_nodes import FreeScaleDetailControl, FreeScaleDilatedConv, FreeScaleScaleFusion
from freescale_pack.nodes.patching.model import settings_of

from tools.harness.demo_checkpoint import demo_checkpoint


def defaults(node):
    return {i.id: i.default for i in node.define_schema().inputs if getattr(i, "default", None) is not None}


def test_a_model_patch_with_its_defaults_is_the_preset_of_sdxl():
    (patched,) = FreeScaleModelPatch.execute(demo_checkpoint()[0], **defaults(FreeScaleModelPatch)).result
    assert settings_of(patched) == PRESETS["SDXL"]


@pytest.mark.parametrize(
    ("node", "part", "expected"),
    [
        (FreeScaleScaleFusion, "fusion", FusionSettings()),
        (FreeScaleDilatedConv, "dilation", DilationSettings()),
        (FreeScaleDetailControl, "detail", DetailSettings()),
    ],
)
def test_a_part_node_with_its_defaults_is_that_part_of_the_preset(node, part, expected):
    (patched,) = node.execute(demo_checkpoint()[0], **defaults(node)).result
    assert getattr(settings_of(patched), part) == expected
    others = {"fusion", "dilation", "detail"} - {part}
    assert [getattr(settings_of(patched), other) for other in others] == [None, None]


def test_the_cascade_samples_as_the_authors_do():
    """50 Euler steps of the leading schedule, guidance 7.5, to twice the size.

    The boundary is for models with two experts.
    """
    assert defaults(FreeScaleCascade) == {
        "seed": 0,
        "steps": 50,
        "cfg": 7.5,
        "sampler_name": "euler",
        "scheduler": "ddim_uniform",
        "factor": 2.0,
        "boundary": 0.875,
    }


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("exact", FusionSettings()),
        ("fast", FusionSettings("fast")),
        ("neighbourhood", FusionSettings("exact", local="neighbourhoods")),
        ("fast neighbourhood", FusionSettings("fast", local="neighbourhoods")),
        ("off", None),
    ],
)
def test_a_kind_of_fusion_is_chosen_in_the_node_of_that_part(choice, expected):
    """Whatever the speed of the patch before it."""
    (whole,) = FreeScaleModelPatch.execute(
        demo_checkpoint()[0], **{**defaults(FreeScaleModelPatch), "speed": "Fast"}
    ).result
    (part,) = FreeScaleScaleFusion.execute(whole, **{**defaults(FreeScaleScaleFusion), "mode": choice}).result
    assert settings_of(part).fusion == expected
