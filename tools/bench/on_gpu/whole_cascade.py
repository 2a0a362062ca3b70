"""A whole cascade as a user runs it, then cancelled in the middle of a call, then with memory that runs
out."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import comfy.utils
import torch
from comfy import model_management
from freescale_pack.nodes.backbones.unet import dilation_convs
from freescale_pack.nodes.cascade_node import FreeScaleCascade
from freescale_pack.nodes.patching import scale_fusion

from tools.bench.on_gpu.clock import allocated
from tools.bench.on_gpu.log_lines import Heard
from tools.bench.on_gpu.record import Row
from tools.bench.on_gpu.subject import CFG, Subject, sample
from tools.harness.golden_cases import relative_error

STEPS = 8
SPEED = "Balanced"
"""What the template for 4 times the base side takes."""
BLOCK_TO_CANCEL_IN = 20
"""Counted in self-attentions."""


def cascade(subject: Subject) -> Iterator[Row]:
    """From noise to 4 times the base side at the speed meant for it: seconds, updates of the progress bar,
    memory that stays."""
    vae, factor = subject.vae(), 2.0 if subject.tiny else 4.0
    model = subject.patched(SPEED)
    before, start = _resting(subject), time.perf_counter()
    with _progress() as told:
        latent, picture, stages = _run(subject, model, vae, factor)
    row = {
        "variant": SPEED,
        "side": int(picture.shape[1]),
        "stages": len(stages),
        "steps": STEPS,
        "seconds": time.perf_counter() - start,
        "progress": len(told),
        "finite": bool(latent["samples"].isfinite().all() and picture.isfinite().all()),
    }
    del latent, picture, stages
    yield {**row, "left_mib": (_resting(subject) - before) / 2**20}


def cancelled(subject: Subject) -> Iterator[Row]:
    """Cancel inside a call of the second stage: how long until it ends, is the UNet as before, does the next
    run give the same?"""
    vae, scale = subject.vae(), 2
    model, size = subject.patched(SPEED), subject.cells(scale)
    expected, before = sample(subject, model, size), _resting(subject)
    pressed: list[float] = []

    def press(counted: int) -> None:
        if counted == BLOCK_TO_CANCEL_IN:
            pressed.append(time.perf_counter())
            model_management.interrupt_current_processing()

    outcome = "ended by itself"
    try:
        with _each_fused_attention(press):
            _run(subject, model, vae, float(scale))
    except model_management.InterruptProcessingException:
        outcome = "cancelled"
    seconds = time.perf_counter() - pressed[0] if pressed else None
    model_management.interrupt_current_processing(False)
    unet = model.model.diffusion_model
    yield {
        "outcome": outcome,
        "seconds": seconds,
        "dilated": sum(tuple(conv.dilation) != (1, 1) for conv in dilation_convs(unet)),
        "left_mib": (_resting(subject) - before) / 2**20,
        "difference": float((sample(subject, model, size) - expected).abs().max()),
    }


def memory_runs_out(subject: Subject) -> Iterator[Row]:
    """The first fused attention of a call at full size finds no memory: same result in smaller chunks,
    nothing left?"""
    model, size = subject.patched(SPEED), subject.cells(2 if subject.tiny else 4)
    expected, before = sample(subject, model, size), _resting(subject)

    def fail(counted: int) -> None:
        if counted == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Raised by the benchmark.")

    with _each_fused_attention(fail), Heard() as heard:
        out = sample(subject, model, size)
    yield {
        "variant": SPEED,
        "told": len(heard.about("out of memory")),
        "error": relative_error(out, expected),
        "left_mib": (_resting(subject) - before) / 2**20,
    }


def _run(subject: Subject, model: Any, vae: Any, factor: float) -> Any:
    empty = {"samples": torch.zeros(1, 4, *subject.cells(1))}
    options = (0, STEPS, CFG, "euler", "ddim_uniform", factor)
    return FreeScaleCascade.execute(model, *subject.texts, vae, *options, latent=empty).result


@contextmanager
def _progress() -> Iterator[list[int]]:
    """What the progress bar was told inside the block."""
    told: list[int] = []
    comfy.utils.set_progress_bar_global_hook(lambda value, total, preview, node_id=None: told.append(value))
    try:
        yield told
    finally:
        comfy.utils.set_progress_bar_global_hook(None)


@contextmanager
def _each_fused_attention(act: Callable[[int], None]) -> Iterator[None]:
    """Inside the block, act(n) is called in the n-th fused self-attention, before its windows are
    attended."""
    attend, counted = scale_fusion.Branches.attend_locally, [0]

    def counting(*arguments: Any) -> None:
        counted[0] += 1
        act(counted[0])
        attend(*arguments)

    with mock.patch.object(scale_fusion.Branches, "attend_locally", counting):
        yield


def _resting(subject: Subject) -> int:
    """Bytes in use when nothing runs."""
    model_management.soft_empty_cache(force=True)
    return allocated(subject.device)
