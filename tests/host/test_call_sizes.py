"""Tiles, areas and crops: a model call is judged by its own size, not by the size of the picture."""

from types import SimpleNamespace

import comfy.samplers
import numpy as np
import pytest
import torch
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.settings import DilationSettings, FreeScaleSettings, FusionSettings
from freescale_pack.nodes.backbones.unet import dilation_convs
from freescale_pack.nodes.patching.dilation import DilatedCalls
from freescale_pack.nodes.patching.memory_budget import MemoryBudget
from freescale_pack.nodes.patching.model import with_settings
from freescale_pack.nodes.patching.sampler_run import sampler_run
from freescale_pack.nodes.patching.scale_fusion import ScaleFusion

import nodes
from tools.harness.demo_checkpoint import conditioning

from .composition_features import latents, sdxl, text_setup

BASE = 8
"""Latent cells; the pictures here are twice as large unless said."""


def with_sizes(cond):
    """Explicit size conditioning, so that FreeScale's own does not differ from the plain run's."""
    return [
        [text, {**extras, "width": 64, "height": 64, "target_width": 64, "target_height": 64}]
        for text, extras in cond
    ]


def setup_of(model, side=2 * BASE):
    setup = text_setup(model)
    return setup.on(
        model,
        positive=with_sizes(setup.positive),
        negative=with_sizes(setup.negative),
        latent=latents(side=side),
    )


def freescale(model, seen=None, factor=None):
    """Fusion and dilation without the blend; seen: gets the token grid of every fused attention; factor: of
    dilation, None = by size."""

    def draw(sigma, block, windows):
        seen.append(windows.grid)
        return windows.draw(np.random.default_rng(0))

    fusion = FusionSettings() if seen is None else FusionSettings(draw_windows=draw)
    side = 8 * BASE
    return with_settings(
        model,
        FreeScaleSettings(
            base=Size(side, side), fusion=fusion, dilation=DilationSettings(factor), detail=None
        ),
    )


def tiled(model, tile=BASE):
    """A function wrapper as TiledDiffusion sets it: each call of the UNet sees one tile."""

    def in_tiles(apply_model, args):
        x, out = args["input"], torch.empty_like(args["input"])
        for top in range(0, x.shape[2], tile):
            for left in range(0, x.shape[3], tile):
                part = (..., slice(top, top + tile), slice(left, left + tile))
                out[part] = apply_model(x[part], args["timestep"], **args["c"])
        return out

    model = model.clone()
    model.set_model_unet_function_wrapper(in_tiles)
    return model


def calls_of(setup):
    """(side of the call, dilation) of every UNet call of a run, and the result."""
    calls = []

    def note(module, args):
        calls.append((args[0].shape[-1], {conv.dilation[0] for conv in dilation_convs(module)}))

    hook = sdxl().model.diffusion_model.register_forward_pre_hook(note)
    try:
        return calls, setup.sample()
    finally:
        hook.remove()


@pytest.mark.parametrize(("side", "factor"), [(2 * BASE, None), (4 * BASE, None), (2 * BASE, 3)])
def test_tiles_of_the_base_size_are_ordinary_calls(side, factor):
    plain = setup_of(tiled(sdxl()), side).sample()
    calls, got = calls_of(setup_of(freescale(tiled(sdxl()), factor=factor), side))
    assert set(map(str, calls)) == {str((BASE, {1}))}
    assert torch.equal(got, plain)


def test_tiles_above_the_base_size_are_corrected_for_their_own_size():
    """Tiles of twice the base in a picture of four times the base: dilation 2, as in a picture of twice the
    base."""
    grids = []
    calls, got = calls_of(setup_of(freescale(tiled(sdxl(), 2 * BASE), grids), 4 * BASE))
    assert {(side, *dilations) for side, dilations in calls if dilations != {1}} == {(2 * BASE, 2)}
    assert set(grids) == {Size(8, 8), Size(4, 4)}
    assert not torch.equal(got, setup_of(tiled(sdxl(), 2 * BASE), 4 * BASE).sample())


def test_a_tile_is_fused_as_a_picture_of_its_size():
    """One UNet call on twice the base, as a tile of four times the base and as a picture: the same windows,
    blur and dilation."""

    def first_call(model, side):
        class Done(Exception):
            pass

        outputs = []

        def keep(module, args, out):
            outputs.append(out.clone())
            raise Done

        hook = sdxl().model.diffusion_model.register_forward_hook(keep)
        try:
            with pytest.raises(Done):
                setup = setup_of(model, side)
                corner = torch.zeros_like(setup.latent)
                corner[..., : 2 * BASE, : 2 * BASE] = latents(side=2 * BASE)
                noise = torch.zeros_like(corner)
                guider = comfy.samplers.CFGGuider(model)
                guider.set_conds(setup.positive, setup.negative)
                euler = comfy.samplers.sampler_object("euler")
                guider.sample(noise, corner, euler, torch.tensor([3.0, 0.0]), disable_pbar=True, seed=3)
        finally:
            hook.remove()
        return outputs[0]

    tile, picture = (
        first_call(freescale(tiled(sdxl(), 2 * BASE)), 4 * BASE),
        first_call(freescale(sdxl()), 2 * BASE),
    )
    assert tile.shape == picture.shape
    assert torch.equal(tile, picture)
    assert not torch.equal(first_call(tiled(sdxl(), 2 * BASE), 4 * BASE), tile)


def test_an_area_of_the_base_size_is_an_ordinary_call():
    area = nodes.ConditioningSetArea().append(with_sizes(conditioning("green frog")), 64, 64, 0, 0, 1.0)[0]
    setup = setup_of(freescale(sdxl()))
    calls, _ = calls_of(setup.on(setup.model, positive=setup.positive + area))
    assert {dilation for side, dilations in calls if side == BASE for dilation in dilations} == {1}
    assert 2 in {dilation for side, dilations in calls if side == 2 * BASE for dilation in dilations}


@pytest.mark.parametrize(
    ("call", "acts", "dilation", "kernel", "windows"),
    [(16, False, 1, 1, 1), (24, True, 2, 3, 4), (32, True, 2, 3, 9), (64, True, 4, 7, 49)],
)
def test_factors_follow_the_size_of_the_call(call, acts, dilation, kernel, windows):
    """Calls of a run at four times the base of 16 cells."""
    run = sampler_run(FreeScaleSettings(base=Size(128, 128)), Size(64, 64), None, 7)
    assert (run.base, run.target, run.seed) == (Size(16, 16), Size(64, 64), 7)
    size = Size(call, call)
    fusion, made = ScaleFusion(run, FusionSettings(), MemoryBudget()), SimpleNamespace(grid=size, full=size)
    assert (run.acts_on(size), fusion.gaussian(made).kernel_size) == (acts, kernel)
    assert fusion.windows(made).count == windows
    assert DilatedCalls(run, DilationSettings()).factor(size, 1e9) == (dilation if acts else None)
