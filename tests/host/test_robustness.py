"""Failures of every kind leave the model clean; memory does not grow; the seed alone decides, across
processes too."""

import dataclasses
import gc
import hashlib
import subprocess
import sys

import comfy.sample
import pytest
import torch
from comfy import model_management
from comfy.ldm.modules import attention
from freescale_pack.freescale_core.attention import fusion
from freescale_pack.freescale_core.settings import FusionSettings
from freescale_pack.nodes.host.releases import free_memory_of
from freescale_pack.nodes.patching.model import with_settings

from tools import ROOT
from tools.harness.demo_checkpoint import conditioning
from tools.harness.out_of_memory import OurAllocations

from .runs import PARTS, fingerprint, sample, settings

# Every way a run can end early, what is left, and the tests that execute it.
CLEAN = "no patch stays on the model, and the next run draws the same bits"
FAILURES = [
    (
        "error or Cancel in a layer of the UNet (its 1st, 40th or 200th call)",
        CLEAN,
        ["test_patches.py::test_nothing_stays_patched_after_an_error_in_any_layer"],
    ),
    (
        "error in another node's patch",
        "no patch stays on the model",
        ["test_robustness.py::test_an_error_in_another_nodes_patch_leaves_the_model_clean"],
    ),
    (
        "out of memory at any of our allocations",
        CLEAN,
        ["test_robustness.py::test_out_of_memory_at_any_of_our_allocations_leaves_the_model_clean"],
    ),
    (
        "out of memory in attention or blur",
        "the run goes on in small chunks and says so",
        [
            "test_robustness.py::test_a_passing_lack_of_memory_in_attention_only_makes_chunks_smaller",
            "test_robustness.py::test_a_passing_lack_of_memory_in_the_blur_only_makes_chunks_smaller",
        ],
    ),
    (
        "out of memory in the VAE",
        "it goes on in tiles and says so",
        ["test_vae.py::test_a_vae_that_runs_out_of_memory_goes_on_in_tiles"],
    ),
    (
        "out of memory in a later stage",
        "the stages before it are returned and the log says so",
        ["test_vae.py::test_a_stage_that_runs_out_of_memory_returns_the_stages_before_it"],
    ),
    (
        "out of memory while decoding a later stage",
        "its latent is returned and the log says so",
        ["test_vae.py::test_a_stage_whose_decoding_runs_out_of_memory_keeps_its_latent"],
    ),
    (
        "Cancel inside the VAE",
        "it ends within one tile",
        ["test_vae.py::test_cancel_ends_a_vae_run_within_one_tile"],
    ),
    (
        "fifty runs in a row",
        "no tensor and no patch more than before",
        ["test_robustness.py::test_fifty_runs_leave_no_tensors_and_no_patches_behind"],
    ),
]


def our_sites(model):
    sample(with_settings(model, settings(*PARTS)))  # What is made once and kept is made here.
    with OurAllocations() as seen:
        sample(with_settings(model, settings(*PARTS)))
    return seen.sites


def test_out_of_memory_at_any_of_our_allocations_leaves_the_model_clean(model):
    sites, plain, before = our_sites(model), sample(model), fingerprint(model)
    assert len(sites) >= 12
    assert {site.split(":")[0] for site in sites} >= {
        "gather.py",
        "blur.py",
        "scale_fusion.py",
        "detail_blend.py",
    }
    for site in sites:
        with pytest.raises(torch.cuda.OutOfMemoryError), OurAllocations(fail_at=site):
            sample(with_settings(model, settings(*PARTS)))
        assert fingerprint(model) == before, site
    assert torch.equal(sample(model), plain)


@pytest.mark.parametrize(("mode", "tokens"), [("exact", 256), ("exact", 64), ("fast", 64)])
def test_a_passing_lack_of_memory_in_attention_only_makes_chunks_smaller(
    model, monkeypatch, caplog, mode, tokens
):
    """The largest call of the global pass has 256 tokens here, one of the windows or of the sub-grids of fast
    64."""
    patched = with_settings(model, dataclasses.replace(settings(*PARTS), fusion=FusionSettings(mode)))
    expected = sample(patched)
    original, calls = attention.optimized_attention, []

    def full_at_first(q, *args, **kwargs):
        if q.shape[1] == tokens and not calls:
            calls.append(tokens)
            raise torch.cuda.OutOfMemoryError("injected")
        return original(q, *args, **kwargs)

    monkeypatch.setattr(attention, "optimized_attention", full_at_first)
    got = sample(patched)
    assert calls == [tokens]
    assert (got - expected).norm() / expected.norm() < 1e-5
    assert caplog.text.count("attention goes on in small chunks for the rest of this run") == 1


def test_where_no_memory_is_free_attention_goes_on_in_a_few_chunks(model, monkeypatch):
    """A full card is no reason for thousands of calls of a few tokens each."""
    patched, calls = with_settings(model, settings(*PARTS)), []
    original = attention.optimized_attention

    def counted(q, *args, **kwargs):
        calls[-1] += 1
        return original(q, *args, **kwargs)

    monkeypatch.setattr(attention, "optimized_attention", counted)
    pictures = []
    for free in (1e18, 0):
        monkeypatch.setattr(
            "freescale_pack.nodes.patching.outer_sample.free_memory_of",
            lambda _, free=free: lambda device: free,
        )
        calls.append(0)
        pictures.append(sample(patched))
    assert calls[0] < calls[1] <= 16 * calls[0]
    assert (pictures[1] - pictures[0]).norm() / pictures[0].norm() < 1e-5


def test_free_memory_is_asked_of_the_models_own_patcher_where_it_knows():
    class Patcher:
        def get_free_memory(self, device):
            return 7

    assert free_memory_of(Patcher())(torch.device("cpu")) == 7
    assert free_memory_of(object()) is model_management.get_free_memory


@pytest.mark.parametrize("over_channels", [True, False])
def test_a_passing_lack_of_memory_in_the_blur_only_makes_chunks_smaller(
    model, monkeypatch, caplog, over_channels
):
    patched = with_settings(
        model, dataclasses.replace(settings(*PARTS), fusion=FusionSettings(over_channels=over_channels))
    )
    expected = sample(patched)
    original, calls = fusion.blur_rows, []

    def full_at_first(x, top, bottom, *args):
        calls.append(bottom - top)
        if len(calls) == 1:
            raise torch.cuda.OutOfMemoryError("injected")
        return original(x, top, bottom, *args)

    monkeypatch.setattr(fusion, "blur_rows", full_at_first)
    got = sample(patched)
    assert max(calls[1:]) <= calls[0] / 2
    assert (got - expected).norm() / expected.norm() < 1e-5
    assert caplog.text.count("goes on in small chunks for the rest of this run") == 1


def test_an_error_in_another_nodes_patch_leaves_the_model_clean(model):
    def broken(q, k, v, extra_options, **kwargs):
        raise ZeroDivisionError

    other = model.clone()
    other.set_model_attn1_replace(broken, "output", 3)
    before = fingerprint(model)
    with pytest.raises(ZeroDivisionError):
        sample(with_settings(other, settings(*PARTS)))
    assert fingerprint(model) == before


def test_fifty_runs_leave_no_tensors_and_no_patches_behind(model):
    patched = with_settings(model, settings(*PARTS))

    def counts():
        gc.collect()
        return sum(isinstance(o, torch.Tensor) for o in gc.get_objects()), fingerprint(patched)

    for _ in range(3):
        sample(patched, side=160, start=3)
    before = counts()
    for seed in range(50):
        sample(patched, side=160, start=3, seed=seed)
    assert counts() == before


RESTART = """
import hashlib, torch, tests.host
import tools.harness.in_process
from freescale_pack.nodes.patching.model import with_settings
from tests.host.runs import PARTS, sample, settings
from tools.harness.demo_checkpoint import demo_checkpoint
with torch.inference_mode():
    out = sample(with_settings(demo_checkpoint()[0], settings(*PARTS)))
print(hashlib.sha256(out.numpy().tobytes()).hexdigest())
"""


def test_another_process_draws_the_same_bits(model):
    command = [sys.executable, "-c", RESTART]
    elsewhere = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()[
        -1
    ]
    here = sample(with_settings(model, settings(*PARTS)))
    assert hashlib.sha256(here.numpy().tobytes()).hexdigest() == elsewhere


def latents(batch=1, side=256):
    return torch.randn(batch, 4, side // 8, side // 8, generator=torch.Generator().manual_seed(1))


def run_masked(model, mask, sampler="euler", batch=1):
    latent = latents(batch)
    noise = comfy.sample.prepare_noise(latent, 3)
    texts = conditioning("tiger"), conditioning("")
    run = {
        "start_step": 2,
        "last_step": 10000,
        "force_full_denoise": True,
        "disable_pbar": True,
        "seed": 3,
        "noise_mask": mask,
    }
    return comfy.sample.sample(model, noise, 5, 3.0, sampler, "ddim_uniform", *texts, latent, **run), latent


def test_a_denoise_mask_keeps_the_outside_and_freescale_acts_inside(model):
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., :16] = 1
    got, latent = run_masked(with_settings(model, settings(*PARTS)), mask)
    plain, _ = run_masked(with_settings(model, settings()), mask)
    assert torch.allclose(got[..., 17:], latent[..., 17:], atol=1e-4)
    assert (got[..., :15] - plain[..., :15]).abs().max() > 1e-2


def test_a_batch_of_masks_acts_picture_by_picture(model):
    mask = torch.zeros(2, 1, 32, 32)
    mask[1] = 1
    got, latent = run_masked(with_settings(model, settings(*PARTS)), mask, batch=2)
    assert torch.allclose(got[0], latent[0], atol=1e-4)
    assert (got[1] - latent[1]).abs().max() > 1e-2


def test_cfg_1_drops_the_negative_prompt_and_works(model):
    calls = []

    def wrapper(apply, args):
        calls.append(args["cond_or_uncond"])
        return apply(args["input"], args["timestep"], **args["c"])

    wrapped = with_settings(model, settings(*PARTS))
    wrapped.set_model_unet_function_wrapper(wrapper)
    assert not torch.equal(sample(wrapped, cfg=1.0), sample(model, cfg=1.0))
    assert {tuple(c) for c in calls} == {(0,)}


@pytest.mark.parametrize("batch", [2, 3])
def test_a_batch_equals_its_pictures_one_by_one(model, batch):
    patched = with_settings(model, settings("fusion", "dilation", "detail"))
    latent = latents(batch)
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(2))
    texts = conditioning("tiger"), conditioning("")

    def run(index):
        run = {
            "start_step": 2,
            "last_step": 10000,
            "force_full_denoise": True,
            "disable_pbar": True,
            "seed": 3,
        }
        return comfy.sample.sample(
            patched, noise[index], 5, 3.0, "euler", "ddim_uniform", *texts, latent[index], **run
        )

    together = run(slice(None))
    for i in range(batch):
        alone = run(slice(i, i + 1))
        assert (together[i] - alone[0]).norm() / alone.norm() < 1e-4


def test_a_run_can_end_early_and_go_on(model):
    """Steps 2 to 3 with leftover noise, then 3 to 5 without new noise: the second half has no noise to blend
    with, and says so."""
    patched = with_settings(model, settings("fusion", "dilation"))
    latent, noise = latents(), torch.randn(1, 4, 32, 32, generator=torch.Generator().manual_seed(2))
    texts = conditioning("tiger"), conditioning("")

    def run(latent, noise, start, last, **more):
        steps = {"start_step": start, "last_step": last, "disable_pbar": True, "seed": 3, **more}
        return comfy.sample.sample(patched, noise, 5, 3.0, "euler", "ddim_uniform", *texts, latent, **steps)

    half = run(latent, noise, 2, 3)
    done = run(half, torch.zeros_like(noise), 3, 5, disable_noise=True)
    whole = run(latent, noise, 2, 5)
    assert (done - whole).norm() / whole.norm() < 1e-4
