"""Sizes: the real SDXL UNet on meta tensors, with scale fusion in place, from odd latents to 8192 x 8192."""

from types import SimpleNamespace

import comfy.ops
import numpy as np
import pytest
import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from freescale_pack.freescale_core.geometry import Size, scale_between
from freescale_pack.freescale_core.settings import DilationSettings, FreeScaleSettings, FusionSettings
from freescale_pack.nodes.backbones.attention_call import SIGMA_KEY
from freescale_pack.nodes.backbones.unet import attention_blocks
from freescale_pack.nodes.patching import scale_fusion
from freescale_pack.nodes.patching.dilation import DilatedCalls
from freescale_pack.nodes.patching.memory_budget import MemoryBudget
from freescale_pack.nodes.patching.sampler_run import sampler_run
from freescale_pack.nodes.patching.scale_fusion import ScaleFusion

from tools.bench.performance.models import scarce
from tools.harness.demo_checkpoint import demo_checkpoint

from .test_unet_layers import SDXL

BUCKETS = [
    (1024, 1024),
    (1152, 896),
    (896, 1152),
    (1216, 832),
    (832, 1216),
    (1344, 768),
    (768, 1344),
    (1536, 640),
    (640, 1536),
]

# base (width, height) or None = auto, target (width, height), scale, dilation, kernel, windows at half and
# quarter resolution
SIZES = [
    *[((w, h), (2 * w, 2 * h), 2.0, 2, 3, (9, 9)) for w, h in BUCKETS],
    *[((w, h), (w * 3 // 2, h * 3 // 2), 1.5, 2, 3, (4, 4)) for w, h in BUCKETS],
    *[((w, h), (3 * w, 3 * h), 3.0, 3, 5, (25, 25)) for w, h in BUCKETS],
    (None, (3840, 2160), 2.83, 3, 5, (25, 25)),
    (None, (2160, 3840), 2.83, 3, 5, (25, 25)),
    (None, (2048, 2048), 2.0, 2, 3, (9, 9)),
    (None, (1664, 2432), 2.0, 2, 3, (9, 9)),
    (None, (1704, 1352), 1.49, 1, 3, (6, 6)),
    (None, (1128, 1128), 1.10, 1, 3, (4, 4)),
    (None, (4096, 4096), 4.0, 4, 7, (49, 49)),
    (None, (8192, 8192), 8.0, 8, 15, (225, 225)),
]
NO_EFFECT = [
    ((1024, 1024), (1024, 1024)),
    ((1024, 1024), (1120, 1120)),
    (None, (512, 512)),
    (None, (1344, 768)),
]


def run_for(base, target):
    model_sampling = demo_checkpoint()[0].get_model_object("model_sampling")
    settings = FreeScaleSettings(base=base and Size(base[1], base[0]))
    return sampler_run(settings, Size(target[1] // 8, target[0] // 8), model_sampling, 0)


def meta_unet(**changes):
    return UNetModel(
        **{**SDXL, **changes}, device="meta", dtype=torch.float16, operations=comfy.ops.disable_weight_init
    )


@pytest.fixture(scope="module")
def shallow_sdxl():
    """SDXL's levels and blocks with one transformer each: 11 attentions instead of 70, the same sizes."""
    return meta_unet(
        transformer_depth=[0, 0, 1, 1, 1, 1],
        transformer_depth_middle=1,
        transformer_depth_output=[0, 0, 0, 1, 1, 1, 1, 1, 1],
    )


def windows_used(unet, base, target, mode):
    """Runs the UNet once on meta tensors; the run and the window grid of every attention that was fused."""
    drawn = []

    def draw(sigma, block, windows):
        drawn.append(windows)
        return windows.draw(np.random.default_rng(0))

    run, fusion = run_for(base, target), FusionSettings(mode=mode, draw_windows=draw)
    options = {SIGMA_KEY: 3.0}
    free = scarce(2 * 640 * 2 * run.target.area // 4)
    scale_fusion.install(options, run, fusion, attention_blocks(unet), free)
    x = torch.empty(2, 4, *run.target, device="meta", dtype=torch.float16)
    context, y = (
        torch.empty(2, 77, 2048, device="meta", dtype=torch.float16),
        torch.empty(2, 2816, device="meta", dtype=torch.float16),
    )
    out = unet(x, torch.empty(2, device="meta"), context, y=y, transformer_options=options)
    assert out.shape == x.shape
    return run, drawn


@pytest.mark.parametrize(("base", "target", "scale", "dilation", "kernel", "counts"), SIZES)
def test_every_attention_is_fused_with_the_expected_windows(
    shallow_sdxl, base, target, scale, dilation, kernel, counts
):
    run, drawn = windows_used(shallow_sdxl, base, target, "exact")
    assert scale_between(run.base, run.target) == pytest.approx(scale, abs=0.01)
    whole = SimpleNamespace(grid=run.target, full=run.target)
    assert ScaleFusion(run, FusionSettings(), MemoryBudget()).gaussian(whole).kernel_size == kernel
    assert DilatedCalls(run, DilationSettings()).factor(run.target, 1e9) == dilation
    assert len(drawn) == 11
    half, quarter = (Size(-(-run.target.height // d), -(-run.target.width // d)) for d in (2, 4))
    assert {w.count for w in drawn if w.grid == half} == {counts[0]}
    assert {w.count for w in drawn if w.grid == quarter} == {counts[1]}


@pytest.mark.parametrize("target", [(2432, 1664), (3840, 2160), (1704, 1352), (8192, 8192)])
def test_the_fast_global_pass_fits_every_size_too(shallow_sdxl, target):
    assert len(windows_used(shallow_sdxl, None, target, "fast")[1]) == 11


def test_all_70_attentions_of_sdxl_are_fused_at_4096():
    assert len(windows_used(meta_unet(), None, (4096, 4096), "exact")[1]) == 70


@pytest.mark.parametrize(("base", "target"), NO_EFFECT)
def test_below_1_1_times_the_base_nothing_is_installed_and_one_line_says_so(base, target, caplog):
    caplog.set_level("INFO", logger="FreeScale")
    assert run_for(base, target) is None
    assert caplog.text.count("so this run is ordinary sampling") == 1


@pytest.mark.parametrize(
    ("target", "base"),
    [
        ((2048, 2048), (1024, 1024)),
        ((3840, 2160), (1344, 768)),
        ((2160, 3840), (768, 1344)),
        ((1664, 2432), (832, 1216)),
        ((4096, 2048), (1472, 704)),
    ],
)
def test_auto_base(target, base):
    got = run_for(None, target).base
    assert (got.width * 8, got.height * 8) == base
