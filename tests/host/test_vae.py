"""Between stages: tiling by size and total memory, what happens when memory runs out, and Cancel inside the
VAE."""

import pytest
import torch
from comfy import model_management
from comfy_execution.graph_utils import ExecutionBlocker
from freescale_pack.nodes.cascade import run as cascade_module
from freescale_pack.nodes.cascade import vae as vae_module
from freescale_pack.nodes.cascade.vae import decode, encode, tile_side

from tools.harness.demo_checkpoint import conditioning, demo_checkpoint

from .cascades import BASE, cascade, empty, patched


@pytest.fixture(scope="module")
def vae():
    return demo_checkpoint()[2]


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setattr(vae_module, "TILES", (128,))


@pytest.fixture(scope="module")
def texts():
    return conditioning("red apple"), conditioning("")


@pytest.mark.parametrize(
    ("tiling", "total_gib", "tiled"),
    [("auto", 99, False), ("auto", 0.01, True), ("on", 99, True), ("off", 0.01, False)],
)
def test_tiling_goes_by_total_memory_and_can_be_forced(vae, monkeypatch, caplog, tiling, total_gib, tiled):
    caplog.set_level("INFO", logger="FreeScale")
    monkeypatch.setattr(model_management, "get_total_memory", lambda device: total_gib * 2**30)
    calls = []
    for name in ("decode", "decode_tiled", "encode", "encode_tiled"):
        original = getattr(vae, name)
        monkeypatch.setattr(
            vae,
            name,
            lambda *a, _name=name, _original=original, **kw: (calls.append(_name), _original(*a, **kw))[1],
        )
    picture = decode(vae, torch.zeros(1, 4, 32, 32), tiling)
    latent = encode(vae, picture, tiling)
    assert calls == (["decode_tiled", "encode_tiled"] if tiled else ["decode", "encode"])
    assert picture.shape == (1, 256, 256, 3)
    assert latent.shape == (1, 4, 32, 32)
    assert ("GiB: tiled" in caplog.text, "GiB: whole" in caplog.text) == (
        tiling == "auto" and tiled,
        tiling == "auto" and not tiled,
    )


@pytest.mark.parametrize(("gib", "tile"), [(4, 512), (8, 512), (12, 768), (24, 1024), (48, 1536), (80, 2048)])
def test_tiles_grow_with_the_total_memory(gib, tile, monkeypatch):
    """2178 * 2 bytes a pixel: the host's estimate for decoding in half precision."""
    monkeypatch.undo()
    assert tile_side(lambda side: 2178 * 2 * side**2, gib * 2**30) == tile


def test_tiled_and_whole_pictures_differ_little(vae):
    latent = torch.randn(1, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    whole, tiled = decode(vae, latent, "off"), decode(vae, latent, "on")
    assert (whole - tiled).abs().mean() < 0.02


def test_a_stage_that_runs_out_of_memory_returns_the_stages_before_it(texts, monkeypatch, caplog):
    model, _, vae = demo_checkpoint()
    expected = cascade(patched(model), texts, vae, factor=2.0, latent=empty())[0]
    original, count = cascade_module.sample, iter(range(10))

    def full_in_stage_2(*args):
        if next(count) == 2:
            raise torch.cuda.OutOfMemoryError("injected")
        return original(*args)

    monkeypatch.setattr(cascade_module, "sample", full_in_stage_2)
    latent, image, stages = cascade(patched(model), texts, vae, factor=4.0, latent=empty())
    assert torch.equal(latent["samples"], expected["samples"])
    assert [s.shape[1] for s in stages] == [BASE, 2 * BASE]
    assert torch.equal(image, stages[-1])
    assert f"stage 2 ({4 * BASE}x{4 * BASE}) ran out of memory, so the result is stage 1" in caplog.text


def test_a_stage_whose_decoding_runs_out_of_memory_keeps_its_latent(texts, monkeypatch, caplog):
    model, _, vae = demo_checkpoint()
    expected = cascade(patched(model), texts, vae, factor=2.0, latent=empty())[0]
    original = cascade_module.decode

    def full_above_the_base(vae, samples, tiling):
        if samples.shape[-1] > BASE // 8:
            raise torch.cuda.OutOfMemoryError("injected")
        return original(vae, samples, tiling)

    monkeypatch.setattr(cascade_module, "decode", full_above_the_base)
    latent, image, stages = cascade(patched(model), texts, vae, factor=2.0, latent=empty())
    assert torch.equal(latent["samples"], expected["samples"])
    assert isinstance(image, ExecutionBlocker) and [stage.shape[1] for stage in stages] == [BASE]
    assert "its latent is returned, decode it with VAE Decode (Tiled)" in caplog.text


def test_out_of_memory_in_stage_1_of_a_picture_is_an_error_since_nothing_is_lost(texts, monkeypatch):
    model, _, vae = demo_checkpoint()

    def full(*args):
        raise torch.cuda.OutOfMemoryError("injected")

    monkeypatch.setattr(cascade_module, "sample", full)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        cascade(patched(model), texts, vae, factor=2.0, image=torch.zeros(1, BASE, BASE, 3))


def test_other_errors_are_not_swallowed(texts, monkeypatch):
    model, _, vae = demo_checkpoint()

    def broken(*args):
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr(cascade_module, "sample", broken)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        cascade(patched(model), texts, vae, factor=2.0, latent={"samples": torch.ones(1, 4, 16, 16)})


def test_a_vae_that_runs_out_of_memory_goes_on_in_tiles(vae, monkeypatch, caplog):
    original, sizes = vae.first_stage_model.decode, []

    def full_when_whole(x, *args, **kwargs):
        sizes.append(x.shape[-1])
        if len(sizes) == 1:
            raise torch.cuda.OutOfMemoryError("injected")
        return original(x, *args, **kwargs)

    monkeypatch.setattr(vae.first_stage_model, "decode", full_when_whole)
    assert decode(vae, torch.zeros(1, 4, 66, 66), "off").shape == (1, 528, 528, 3)
    assert len(sizes) > 2
    assert "Ran out of memory when regular VAE decoding" in caplog.text


@pytest.mark.parametrize("tiling", ["on", "off"])
def test_cancel_ends_a_vae_run_within_one_tile(vae, monkeypatch, tiling):
    original, tiles = vae.first_stage_model.decode, []

    def cancelled(x, *args, **kwargs):
        tiles.append(x.shape)
        model_management.interrupt_current_processing()
        return original(x, *args, **kwargs)

    monkeypatch.setattr(vae.first_stage_model, "decode", cancelled)
    with pytest.raises(model_management.InterruptProcessingException):
        decode(vae, torch.zeros(1, 4, 32, 32), tiling)
    assert len(tiles) == 1
