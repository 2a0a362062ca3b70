"""Is it right on this device? The authors' results, float64 on the CPU, and nothing changed at the training
size."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.presets import SPEEDS
from freescale_pack.freescale_core.settings import FusionSettings
from freescale_pack.nodes.patching.model import with_settings
from torch import Tensor

from tools.bench.on_gpu.record import Row
from tools.bench.on_gpu.subject import Subject, sample
from tools.bench.performance.attention import LoneAttention
from tools.bench.performance.counting import VARIANTS
from tools.harness.golden_cases import CASES, MASKED, STAGE, Case, first_unet_call, relative_error
from tools.harness.tiny_unet import tiny_model

NUMBERS = {"fp32": torch.float32, "fp32, TF32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
ON_CPU, SMALL_CASE = ("fp32",), "turbo_2x"
"""A dry run's."""


@contextmanager
def tf32(on: bool) -> Iterator[None]:
    """Products and convolutions of float32 in TF32, or not, inside the block."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = on
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def golden(subject: Subject) -> Iterator[Row]:
    """Relative errors against the authors' results: the last stage's first call, and whole last stages, each
    with its sampler."""
    for numbers in ON_CPU if subject.tiny else NUMBERS:
        with tf32(numbers.endswith("TF32")):
            model = tiny_model(NUMBERS[numbers])
            for name in (SMALL_CASE,) if subject.tiny else CASES:
                case = Case(name)
                most = (MASKED if case.masked else STAGE) if numbers == "fp32" else None
                yield {"numbers": numbers, "case": name, "most": most, **_golden_errors(model, case)}


def _golden_errors(model: Any, case: Case) -> dict[str, float]:
    r = len(case.info["stages"])
    patched = with_settings(model, case.settings(r, model))
    errors = {"stage": relative_error(case.run(patched, r).float().cpu(), case.tensors[f"latent_stage{r}"])}
    if "last_stage_first_out" in case.tensors:
        _, out = first_unet_call(model, lambda: case.run(patched, r))
        errors["call"] = relative_error(out, case.tensors["last_stage_first_out"])
    return errors


def precision(subject: Subject) -> Iterator[Row]:
    """One self-attention of SDXL's widths against float64 on the CPU; beside it the error of plain attention
    in the same numbers."""
    expected = {name: _attended(name, "cpu", torch.float64) for name in (None, *VARIANTS)}
    for numbers in ON_CPU if subject.tiny else NUMBERS:
        with tf32(numbers.endswith("TF32")):
            errors = {
                name: relative_error(_attended(name, subject.device, NUMBERS[numbers]), expected[name])
                for name in (None, *VARIANTS)
            }
        yield from (
            {"numbers": numbers, "variant": name, "error": errors[name], "plain_error": errors[None]}
            for name in VARIANTS
        )


def _attended(variant: str | None, device: Any, dtype: torch.dtype) -> Tensor:
    """float64, on the CPU."""
    fusion: FusionSettings | None = None if variant is None else VARIANTS[variant]
    block = LoneAttention(Size(16, 16), Size(32, 32), fusion, 640, 10, device=device, dtype=dtype)
    return block.both().double().cpu()


def base_size(subject: Subject) -> Iterator[Row]:
    """A patched MODEL must change no number at the training size."""
    size = subject.cells(1)
    sample(subject, subject.model, size)  # The first run, in which weights are moved, may round otherwise.
    expected = sample(subject, subject.model, size)
    again = sample(subject, subject.model, size)
    yield {"variant": "unpatched again", "difference": float((again - expected).abs().max())}
    for speed in SPEEDS:
        out = sample(subject, subject.patched(speed), size)
        yield {"variant": speed, "difference": float((out - expected).abs().max())}


def finite(subject: Subject) -> Iterator[Row]:
    """Whether every number of a patched call is finite, and how far the speeds are from the unpatched
    call."""
    size = subject.cells(2)
    outs = {name: sample(subject, model, size) for name, model in subject.variants().items()}
    for name, out in outs.items():
        distance = relative_error(out, outs["unpatched"])
        yield {"variant": name, "finite": bool(out.isfinite().all()), "distance": distance}
