"""What docs/VIDEO.md says of VideoCrafter2's cost, counted on its full-size UNet: tensors without data."""

import re

import pytest
import torch
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.settings import FusionSettings
from freescale_pack.nodes.backbones.attention_call import SIGMA_KEY
from freescale_pack.nodes.backbones.unet import attention_blocks
from freescale_pack.nodes.backbones.video import attention_over_time_marked
from freescale_pack.nodes.backbones.videocrafter.network import VideoCrafterUNet
from freescale_pack.nodes.patching import scale_fusion
from freescale_pack.nodes.patching.sampler_run import SamplerRun
from torch.utils.flop_counter import FlopCounterMode

from tools import ROOT
from tools.bench.performance.models import scarce

from .test_golden_video import FULL_SIZE

FRAMES, BASE, TWICE = 16, Size(40, 64), Size(80, 128)
OVER_TIME, CONVOLUTIONS = "attention over time", "convolutions over time"
TEXT = (ROOT / "docs/VIDEO.md").read_text(encoding="utf-8")
LARGER_STEPS, FAST_LATER_STEPS, STEPS = 35, 11, 50
"""Of a later stage, at Fast the last of a schedule of 15, and of the base."""


@pytest.fixture(scope="module")
def unet():
    return VideoCrafterUNet(**FULL_SIZE, device="meta", dtype=torch.float16)


def count(unet, cells, mode=None, local="windows"):
    """10^12 operations of one pass: of all, of attention by kind, and of convolutions over time.

    mode, local: of scale fusion, with the 2-D blur, which projects once as ordinary attention does.
    """
    found = {OVER_TIME: 0.0, "grid": 0.0, "prompt": 0.0}

    def attend(function, q, k, v, heads, *args, **kwargs):
        is_over_time = kwargs["transformer_options"].get("freescale_over_time") or q.shape[1] == FRAMES
        kind = "prompt" if k.shape[1] == 77 else OVER_TIME if is_over_time else "grid"
        found[kind] += 4 * q.numel() * k.shape[1]
        return torch.empty_like(q)

    options = {SIGMA_KEY: 3.0, "optimized_attention_override": attend, "cond_or_uncond": [0]}
    if mode:
        run, settings = (
            SamplerRun(BASE, cells, 0),
            FusionSettings(mode=mode, local=local, over_channels=False),
        )
        scale_fusion.install(options, run, settings, attention_blocks(unet), scarce(2**40))
    x, context, fps = (
        torch.empty(FRAMES, *shape, device="meta", dtype=torch.float16)
        for shape in ((4, *cells), (77, 1024), (320,))
    )
    with torch.no_grad(), FlopCounterMode(display=False) as rest, attention_over_time_marked(unet):
        unet(
            x,
            torch.empty(FRAMES, device="meta"),
            context,
            fps,
            transformer_options=options,
            num_video_frames=FRAMES,
        )
    by_module = rest.get_flop_counts()
    found[CONVOLUTIONS] = sum(
        sum(operations.values()) for name, operations in by_module.items() if name.endswith("temopral_conv")
    )
    found["all"] = rest.get_total_flops() + sum(found[kind] for kind in (OVER_TIME, "grid", "prompt"))
    return {kind: operations / 1e12 for kind, operations in found.items()}


def row(name):
    """The figures of a row of the table on the page."""
    (cells,) = re.findall(rf"^\| {re.escape(name)} \|(.*)\|$", TEXT, re.MULTILINE)
    return [cell.strip() for cell in cells.split("|")]


def test_the_table_is_what_is_counted(unet):
    base, direct, exact, balanced = (
        count(unet, cells, mode)
        for cells, mode in ((BASE, None), (TWICE, None), (TWICE, "exact"), (TWICE, "fast"))
    )
    fast = count(unet, TWICE, "fast", "neighbourhoods")
    for name, kind, digits in (
        ("attention over each frame's grid", "grid", 2),
        ("attention over time", OVER_TIME, 2),
        ("convolutions over time", CONVOLUTIONS, 2),
        ("all, direct sampling", "all", 1),
    ):
        assert row(name) == [f"{counted[kind]:.{digits}f}" for counted in (base, direct)]
    windows = exact["grid"] - direct["grid"]
    assert row("windows of scale fusion, besides") == ["", f"{windows:.1f}"]
    neighbourhoods = windows + fast["grid"] - balanced["grid"]
    assert row("neighbourhoods in their place") == ["", f"{neighbourhoods:.1f}"]
    assert row("all, Exact") == ["", f"{exact['all']:.1f}"]
    assert row("all, Balanced (the global branch in sub-grids)") == ["", f"{balanced['all']:.1f}"]
    assert row("all, Fast (sub-grids and neighbourhoods)") == ["", f"{fast['all']:.1f}"]
    later_exact, later_balanced, later_fast = (
        steps * run["all"] / base["all"]
        for run, steps in (
            (exact, LARGER_STEPS / STEPS),
            (balanced, LARGER_STEPS / STEPS),
            (fast, FAST_LATER_STEPS / STEPS),
        )
    )
    said = f"{later_exact:.1f} times the base video's work with Exact, {later_balanced:.1f} with Balanced, "
    assert f"{said}{later_fast:.1f} with Fast, whose" in TEXT
    assert f"direct sampling takes {direct['all'] / base['all']:.1f}" in TEXT
