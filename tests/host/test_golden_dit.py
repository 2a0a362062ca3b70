"""The pack's rotary positions on ComfyUI's real WanModel against results of CineScale's own code.

FREESCALE_GOLDEN_DIT=DIR runs any folder of that format.
"""

import re

import comfy.model_sampling
import comfy.samplers
import pytest
import torch
from freescale_pack.freescale_core.rope.attention_scale import cinescale_factor
from freescale_pack.freescale_core.rope.frequencies import frequencies
from freescale_pack.freescale_core.rope.positions import rectified_positions, tiles
from freescale_pack.freescale_core.schedule import flow_sigmas

from tools.harness.golden_cases import relative_error
from tools.harness.golden_dit import CASES, Case, facts, numbers_of, tables

BOUND = 1e-5  # measured: 1.5e-6
TABLES = tables()
NTK = [
    (name, key)
    for name in CASES
    for key in sorted(Case(name).tensors)
    if re.fullmatch(r"model_ntk[\d.]+", key)
]
SIGMAS = sorted(((name, tuple(v)) for info in facts() for name, v in info.get("sigmas", {}).items()))
SCALES = [row for info in facts() for row in info.get("v1_attention_scale", [])]


@pytest.fixture(scope="module")
def cases():
    return {name: Case(name) for name in CASES}


@pytest.mark.parametrize("name", [name for name in TABLES if name.startswith("warp.")])
def test_rectified_positions_are_the_authors(name):
    wanted, given = TABLES[name], {key: int(value) for key, value in numbers_of(name).items()}
    got = [
        rectified_positions(given["len"], first, last, given["max"], given["thr"])
        for first, last in tiles(given["len"], given["tile"])
    ]
    assert torch.equal(torch.stack(got), wanted.long())


@pytest.mark.parametrize("name", [name for name in TABLES if name.startswith("freqs.")])
def test_frequencies_are_the_authors(name):
    head, factor, axis = re.fullmatch(r"freqs\.d(\d+)_ntk([\d.]+)_([thw])", name).groups()
    spatial = 2 * (int(head) // 6)
    dims = int(head) - 2 * spatial if axis == "t" else spatial
    theta = 10000.0 * (1.0 if axis == "t" else float(factor))
    angles = torch.outer(torch.arange(len(TABLES[name])).double(), frequencies(dims, theta))
    assert (torch.stack([angles.cos(), angles.sin()], -1) - TABLES[name]).abs().max() < 1e-9


def with_tensor(tensor):
    return [name for name in CASES if tensor in Case(name).tensors]


@pytest.mark.parametrize("name", with_tensor("attn_ar"))
def test_the_attention_module_equals_the_authors(cases, name):
    case = cases[name]
    assert relative_error(case.attention(None), case.tensors["attn_plain"]) < BOUND
    assert relative_error(case.attention(case.rectified), case.tensors["attn_ar"]) < BOUND


@pytest.mark.parametrize("name", with_tensor("model_plain"))
def test_the_plain_model_equals_the_authors(cases, name):
    assert relative_error(cases[name].model(None), cases[name].tensors["model_plain"]) < BOUND


@pytest.mark.parametrize("name", with_tensor("model_ar"))
def test_rectified_attention_in_the_whole_model_equals_the_authors(cases, name):
    case = cases[name]
    got = case.model(case.rectified)
    print(f"{name}: relative error {relative_error(got, case.tensors['model_ar']):.1e}")
    assert relative_error(got, case.tensors["model_ar"]) < BOUND


@pytest.mark.parametrize(("name", "key"), NTK)
def test_ntk_in_the_whole_model_equals_the_authors(cases, name, key):
    case, factor = cases[name], float(key.removeprefix("model_ntk"))
    assert relative_error(case.model(case.ntk(factor)), case.tensors[key]) < BOUND


@pytest.mark.parametrize("row", SCALES, ids=str)
def test_the_attention_scale_is_the_authors(row):
    wanted = row.get("factor_on_default")
    # ComfyUI hands cross-attention to the override, too: there the tokens differ, and nothing is scaled.
    got = 1.0 if row.get("cross_attention") else cinescale_factor(row["tokens_per_frame"])
    assert got == pytest.approx(1.0 if wanted is None else wanted, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "wanted"), SIGMAS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_noise_levels_are_the_authors(name, wanted):
    steps, shift = len(wanted), numbers_of(name)["shift"]
    assert max(abs(a - b) for a, b in zip(flow_sigmas(steps, shift), (*wanted, 0.0), strict=True)) < 1e-6
    if 1000 % steps == 0:
        sampling = comfy.model_sampling.ModelSamplingDiscreteFlow()
        sampling.set_parameters(shift=shift, multiplier=1000)
        got = comfy.samplers.calculate_sigmas(sampling, "simple", steps)[:-1]
        assert (got.double() - torch.tensor(wanted, dtype=torch.float64)).abs().max() < 1e-6


@pytest.mark.parametrize("name", with_tensor("model_ar"))
def test_a_batch_equals_its_videos_one_by_one(cases, name):
    case = cases[name]
    whole, first = case.model(case.rectified), case.model(case.rectified, batch=1)
    assert relative_error(whole[:1], first) < BOUND


@pytest.mark.parametrize("name", with_tensor("model_ar"))
def test_an_override_of_another_node_gets_every_tile(cases, name):
    case, seen = cases[name], []

    def before(function, q, k, v, heads, **kwargs):
        seen.append((q.shape[-2], k.shape[-2]))
        return function(q, k, v, heads, **kwargs)

    got = case.model(case.rectified, before=before)
    assert relative_error(got, case.tensors["model_ar"]) < BOUND
    frames, *grid = case.info["grid_tokens_thw"]
    tiles_of = [list(tiles(side, tile)) for side, tile in zip(grid, case.rectified.tile, strict=True)]
    sizes = [
        frames * (bottom + 1 - top) * (right + 1 - left)
        for top, bottom in tiles_of[0]
        for left, right in tiles_of[1]
    ]
    if all(side <= most + 1 for side, most in zip(grid, case.rectified.max_relative, strict=True)):
        sizes = [frames * grid[0] * grid[1]]  # No key moves: the whole attention in one piece.
    tokens = frames * grid[0] * grid[1]
    layers = case.info["config"]["num_layers"]
    got_sizes = [count for count, keys in seen if keys == tokens]
    assert got_sizes == sizes * (len(got_sizes) // len(sizes))
    assert len(got_sizes) >= layers * len(sizes)


def test_the_folder_holds_something():
    assert CASES or TABLES
