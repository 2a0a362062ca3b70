"""Whether a plan fits a card: one sentence, and the VAE as the cascade will use it."""

import dataclasses
import re

import comfy.sd
import pytest
import torch
from comfy.ldm.models.autoencoder import AutoencoderKL
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.planning.plan import CascadePlan
from freescale_pack.nodes.cascade.vae import PIXEL_BYTES, planned_tile
from freescale_pack.nodes.plan_fit import Card, fit_line, vae_gib_as_used
from freescale_pack.nodes.plan_route import plan_numbers

from tools import ROOT
from tools.bench.performance.configs import VAE

GIB = 2**30


def plan(side, tiling="auto"):
    return CascadePlan(Size(1024, 1024), (Size(side, side),), tiling=tiling)


@pytest.mark.parametrize(
    ("side", "gib", "expected"),
    [
        (2048, 12, "2048x2048 fits; the VAE in tiles of 768 px."),
        (4096, 12, "4096x4096 fits; the VAE in tiles of 768 px."),
        (2048, 24, "2048x2048 fits; the VAE in one piece."),
        (
            4096,
            8,
            "4096x4096 fits with a part of the model in system memory, which takes longer; the VAE in tiles",
        ),
        (8192, 80, "8192x8192 fits; the VAE in tiles of 2048 px."),
        (8192, 8, "8192x8192 does not fit (about 11 GiB beside the model): choose a smaller target; the VAE"),
    ],
)
def test_one_sentence_says_whether_it_fits_and_how_the_vae_goes(side, gib, expected):
    said = fit_line(plan(side), Card("RTX 3060", float(gib)))
    assert said.startswith(f"RTX 3060, {gib} GiB, one image of SDXL: {expected}")


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        (1, "24 GiB, one image of SDXL: 2048x2048 fits; the VAE"),
        (16, "24 GiB, 16 frames of SDXL at once: 2048x2048 fits with cond and uncond apart; the VAE"),
        (60, "24 GiB, 60 frames of SDXL at once: 2048x2048 does not fit (about 40 GiB beside the model)"),
    ],
)
def test_the_frames_of_a_video_are_sampled_at_once(frames, expected):
    """5.2 GiB of weights and, for each frame of 4 megapixels, 1.3 GiB."""
    video = dataclasses.replace(plan(2048), frames=frames)
    assert expected in fit_line(video, Card("a card", 24.0))


WORDS = {
    "fits": "px fits;",
    "cond and uncond apart": "fits with cond and uncond apart",
    "a part of the model in system memory": "fits with a part of the model in system memory",
    "may fit": "may fit",
    "no": "does not fit",
}


def test_the_table_of_the_readme_says_what_the_plan_says():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) GB \| (.+?) \| (.+?) \| (.+?) \|$", readme, re.MULTILINE)
    assert [row[0] for row in rows] == ["8", "12", "16", "24"]
    for gib, *cells in rows:
        for side, cell in zip((2048, 4096, 8192), cells, strict=True):
            said = fit_line(plan(side), Card("a card", float(gib))).replace(
                f"{side}x{side} fits;", "px fits;"
            )
            assert WORDS[cell] in said, (gib, side, said)


def test_a_server_without_a_gpu_says_so():
    assert fit_line(plan(2048), Card(None, 32.0)).startswith("This server samples on a CPU")
    assert plan_numbers({})["fit"] == fit_line(plan(2048), Card.of_this_server())


def test_the_vae_counts_as_it_will_be_used():
    card = Card("RTX 3060", 12.0)
    assert vae_gib_as_used(plan(2048, "off"), Size(2048, 2048), card) == pytest.approx(8.6)
    assert vae_gib_as_used(plan(2048), Size(2048, 2048), card) == pytest.approx(2.15 * (768 / 1024) ** 2)
    assert vae_gib_as_used(plan(2048, "on"), Size(1024, 1024), card) == pytest.approx(
        2.15 * (768 / 1024) ** 2
    )
    assert vae_gib_as_used(plan(2048), Size(1024, 1024), card) == pytest.approx(2.15)


def test_the_planned_tiles_are_those_that_sdxls_vae_will_get():
    """ComfyUI's own VAE object says what it needs."""
    weights = AutoencoderKL(ddconfig=VAE, embed_dim=4).state_dict()
    vae = comfy.sd.VAE(sd={name: torch.zeros_like(weight) for name, weight in weights.items()})
    assert vae.memory_used_decode((1, 4, 256, 512), torch.float16) == PIXEL_BYTES * 2048 * 4096
    limit = PIXEL_BYTES * 2048 * 2048 / 0.9
    assert planned_tile(Size(2048, 2048), "auto", limit + 1) is None
    assert planned_tile(Size(2048, 2048), "auto", limit - 1) is not None


def test_a_vae_in_one_piece_that_does_not_fit_is_told():
    said = fit_line(plan(8192, "off"), Card("H100", 80.0))
    assert said.endswith("8192x8192 fits; the VAE does not fit in one piece: set tiling to auto.")
