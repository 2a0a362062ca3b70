"""Cost and memory of SDXL's UNet against counts made on the real one (tests/host/test_cost.py makes them
again)."""

import json

import pytest

from freescale_core.attention.neighbourhoods import attended_pairs, neighbourhoods
from freescale_core.geometry import Size
from freescale_core.planning.cost import (
    ACTIVATIONS_GIB,
    MEGAPIXEL,
    TILED_VAE_GIB,
    freeu_gib,
    fused_cost,
    fused_operations,
    unet_gib,
    unet_operations,
    vae_gib,
)
from freescale_core.presets import SPEEDS
from tools import ROOT

BASE = Size(1024, 1024)
TERA = 1e12


def square(side):
    return Size(side, side)


@pytest.mark.parametrize(
    ("side", "counted"), [(1024, 6.761), (2048, 35.907), (4096, 287.780), (8192, 3459.939)]
)
def test_one_pass(side, counted):
    assert unet_operations(square(side)) / TERA == pytest.approx(counted, rel=0.002)


@pytest.mark.parametrize(
    ("side", "mode", "counted"),
    [
        (2048, "exact", 43.696),
        (4096, "exact", 328.989),
        (8192, "exact", 3648.165),
        (2048, "fast", 34.677),
        (4096, "fast", 148.601),
        (8192, "fast", 617.636),
    ],
)
def test_one_pass_with_scale_fusion(side, mode, counted):
    assert fused_operations(BASE, square(side), mode) / TERA == pytest.approx(counted, rel=0.002)


@pytest.mark.parametrize(
    ("grid", "window"),
    [((128, 128), (64, 64)), ((100, 70), (65, 33)), ((7, 9), (1, 3)), ((64, 64), (64, 64))],
)
def test_pairs_of_neighbourhoods_are_those_that_are_attended(grid, window):
    grid, window = Size(*grid), Size(*window)
    pairs = [queries.size.area * keys.size.area for queries, keys in neighbourhoods(grid, window)]
    assert attended_pairs(grid, window) == sum(pairs)


MEASURED = json.loads((ROOT / "docs/performance/gpu_nvidia_h100_80gb_hbm3.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("side", [4096, 8192])
def test_the_cost_in_unpatched_calls_is_what_was_measured(side, speed):
    """Where the GPU is what takes the time."""
    rows = [row for step in ("small_calls", "large_calls") for row in MEASURED["steps"][step]["rows"]]
    (measured,) = (row["of_unpatched"] for row in rows if (row["side"], row["variant"]) == (side, speed))
    fusion = SPEEDS[speed].fusion
    cost = fused_cost(BASE, square(side), fusion.mode, fusion.local) / unet_operations(square(side))
    assert cost == pytest.approx(measured, rel=0.03)


def test_memory_is_what_was_measured():
    rows = [row for step in ("small_calls", "large_calls") for row in MEASURED["steps"][step]["rows"]]
    fused = [
        row["peak_gib"] * MEGAPIXEL.area / row["side"] ** 2
        for row in rows
        if row["scale"] > 1 and row["variant"] != "unpatched"
    ]
    assert len(fused) == 9
    assert 0.98 * ACTIVATIONS_GIB < min(fused) <= max(fused) <= ACTIVATIONS_GIB
    vae = {row["tile"]: row["peak_gib"] for row in MEASURED["steps"]["vae_tiles"]["rows"]}
    assert vae_gib(square(4096)) == pytest.approx(vae[None], rel=0.01)
    assert pytest.approx(vae[512], rel=0.06) == TILED_VAE_GIB


def test_a_shape_costs_what_its_area_costs():
    assert unet_operations(Size(768, 1344)) == pytest.approx(unet_operations(Size(1344, 768)))
    assert unet_operations(Size(2048, 8192)) == pytest.approx(unet_operations(square(4096)))


@pytest.mark.parametrize(
    ("side", "unet", "vae"), [(1024, 5.1, 2.15), (2048, 6.1, 8.6), (4096, 10.1, 34.4), (8192, 25.9, 137.6)]
)
def test_memory(side, unet, vae):
    assert unet_gib(square(side)) == pytest.approx(unet, abs=0.06)
    assert vae_gib(square(side)) == pytest.approx(vae, abs=0.06)


@pytest.mark.parametrize(("side", "counted"), [(2048, 0.859), (4096, 3.438), (8192, 13.75)])
def test_freeu_takes_what_was_counted_and_stays_within_the_unets_estimate(side, counted):
    assert freeu_gib(square(side)) == pytest.approx(counted, abs=0.001)
    assert freeu_gib(square(side)) < unet_gib(square(side))


def test_a_tile_of_the_vae_is_512_pixels_wide():
    assert vae_gib(square(512)) == TILED_VAE_GIB
