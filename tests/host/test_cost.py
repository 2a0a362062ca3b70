"""The closed formulas of cost and memory, counted again on the real SDXL UNet: tensors without data, every
operation."""

import comfy.samplers
import pytest
import torch
from comfy_extras import nodes_freelunch
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.planning.cost import (
    ACTIVATIONS_GIB,
    FREEU_GIB,
    GIB,
    MEGAPIXEL,
    WEIGHTS_GIB,
    fused_operations,
    unet_operations,
)
from freescale_pack.freescale_core.schedule import ddim_uniform_timesteps, timestep_of
from freescale_pack.freescale_core.settings import FusionSettings
from freescale_pack.nodes.backbones.attention_call import SIGMA_KEY
from freescale_pack.nodes.backbones.unet import attention_blocks
from freescale_pack.nodes.patching import scale_fusion
from freescale_pack.nodes.patching.sampler_run import SamplerRun
from torch.utils.flop_counter import FlopCounterMode

from tools.bench.performance.models import freeu_patch, scarce
from tools.bench.performance.storage import LiveBytes, live_peak
from tools.harness.demo_checkpoint import demo_checkpoint

from .test_sizes import meta_unet

BASE = Size(1024, 1024)
PASSES = 2  # cond and uncond


@pytest.fixture(scope="module")
def sdxl():
    return meta_unet()


def count(unet, size, mode, freeu=False):
    """Operations of one pass, peak bytes of the batch of both."""
    attention = []

    def attend(function, q, k, v, heads, *args, **kwargs):
        attention.append(4 * q.numel() * k.shape[1])
        return torch.empty_like(q)

    options = {SIGMA_KEY: 3.0, "optimized_attention_override": attend}
    cells = Size(size.height // 8, size.width // 8)
    if mode:
        run, settings = SamplerRun(Size(128, 128), cells, 0), FusionSettings(mode=mode)
        free = scarce(2 * 640 * 2 * cells.area // 4)
        scale_fusion.install(options, run, settings, attention_blocks(unet), free)
    if freeu:
        options.setdefault("patches", {})["output_block_patch"] = [freeu_patch(320)]
    x, context, y = (
        torch.empty(PASSES, *shape, device="meta", dtype=torch.float16)
        for shape in ((4, *cells), (77, 2048), (2816,))
    )
    memory = LiveBytes()
    with torch.inference_mode(False), torch.no_grad(), FlopCounterMode(display=False) as rest, memory:
        unet(x, torch.empty(PASSES, device="meta"), context, y=y, transformer_options=options)
    return (rest.get_total_flops() + sum(attention)) / PASSES, memory.peak


@pytest.mark.parametrize(
    ("size", "mode"),
    [((1024, 1024), None), ((3072, 5376), None), ((2048, 2048), "exact"), ((2048, 2048), "fast")],
)
def test_operations_and_memory_are_the_counted_ones(sdxl, size, mode):
    size = Size(*size)
    operations, peak = count(sdxl, size, mode)
    assert (fused_operations(BASE, size, mode) if mode else unet_operations(size)) == pytest.approx(
        operations, rel=0.002
    )
    estimate = ACTIVATIONS_GIB * size.area / MEGAPIXEL.area
    assert 0.9 * estimate < peak / GIB <= estimate


def test_freeus_filter_takes_what_the_estimate_says():
    megapixels = 4
    widest = torch.empty(PASSES, 320, 256, 256, device="meta", dtype=torch.float16)
    counted = live_peak(lambda: nodes_freelunch.Fourier_filter(widest, threshold=1, scale=0.6))
    assert counted / GIB == pytest.approx(FREEU_GIB * megapixels)


def test_freeu_leaves_the_peak_of_a_call_where_it_is(sdxl, monkeypatch):
    """Its filter takes much, but when the call holds little else."""
    size, original, filtered = Size(2048, 2048), nodes_freelunch.Fourier_filter, []

    def recorded(x, threshold, scale):
        filtered.append(tuple(x.shape[1:]))
        return original(x, threshold, scale)

    monkeypatch.setattr(nodes_freelunch, "Fourier_filter", recorded)
    without, with_freeu = (count(sdxl, size, "exact", freeu)[1] for freeu in (False, True))
    assert (320, 256, 256) in filtered
    assert with_freeu == pytest.approx(without, rel=0.05)
    assert with_freeu / GIB < ACTIVATIONS_GIB * size.area / MEGAPIXEL.area


def test_weights(sdxl):
    assert sum(parameter.nbytes for parameter in sdxl.parameters()) / GIB == pytest.approx(WEIGHTS_GIB)


@pytest.mark.parametrize(("steps", "step"), [(50, 15), (30, 9), (6, 1)])
def test_ddim_uniform_timestep_is_the_hosts(steps, step):
    sigmas = comfy.samplers.calculate_sigmas(
        demo_checkpoint()[0].get_model_object("model_sampling"), "ddim_uniform", steps
    )
    assert timestep_of(float(sigmas[step])) == pytest.approx(ddim_uniform_timesteps(steps)[step], abs=0.1)
