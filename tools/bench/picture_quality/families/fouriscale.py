"""FouriScale (arXiv 2403.12963): dilated convolutions whose input is low-passed, from noise at the target
size.

A dilated kernel reads every s-th value. So that these are what the base size would have held, frequencies
beyond 1 / (2 s) are damped in the convolution's input first: to 0.6, over a soft edge, as its release sets
it for SDXL. The dilation is whole for 20 of 50 steps and gone after 35; between, the kernel's is rounded up
and the filter's is not. The upsampler of the deepest level is dilated and not filtered.

As released, the model is told the base size.

Departures: no FreeU; no padding to a table of aspects (the target's own is kept); no second pass with
milder filters, whose attention is replaced, as guidance. The knob is where the dilation ends, 0.7 there.
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from freescale_pack.freescale_core.schedule import TIMESTEPS
from torch import Tensor, nn

from tools.bench.picture_quality.families.dilated_layers import (
    Convs,
    convs_of,
    deepest_down_convs,
    up_levels,
    upsampler_convs,
    with_dilated_layers,
)
from tools.bench.picture_quality.families.family import Family
from tools.bench.picture_quality.painter import Painter, Shot

WHOLE_SHARE = 20 / 35
"""Part of the dilated steps before the dilation shrinks."""


STOP_BAND, EDGE = 0.6, 1 / 8
"""What is left of the frequencies that are damped, and how wide the filter's edge is, in cycles a value."""


def paint(painter: Painter, shot: Shot, until: float) -> Tensor:
    upsamplers = upsampler_convs(painter.model.get_model_object("diffusion_model"))

    def layers(unet: Any, t: float, factor: int) -> Iterable[tuple[Convs, float]]:
        d = dilation_at(1 - t / TIMESTEPS, until, factor)
        deepest, next_level = up_levels(unet)[:2]
        inner = [*deepest_down_convs(unet), *convs_of([unet.middle_block])]
        convs = [*inner, *deepest, *(conv for conv in next_level if conv not in upsamplers)]
        return [(convs, d)] if d > 1 else []

    def filtered(convs: Convs, d: float) -> AbstractContextManager[None]:
        return low_passed([conv for conv in convs if conv not in upsamplers], d)

    model = with_dilated_layers(painter.model, shot.base, layers, filtered)
    return painter.direct(shot, model, told=shot.base)


def dilation_at(progress: float, until: float, factor: int) -> float:
    """The dilation at a share of the schedule: `factor` at first, then ever less, 1 from `until` on."""
    whole = until * WHOLE_SHARE
    left = max(0.0, min(1.0, (until - progress) / (until - whole)))
    return 1 + left * (factor - 1)


@contextmanager
def low_passed(convs: Convs, factor: float) -> Iterator[None]:
    """Low-pass the input of the convolutions inside the block."""

    def hook(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return low_pass(inputs[0], factor), *inputs[1:]

    handles = [conv.register_forward_pre_hook(hook) for conv in convs]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def low_pass(x: Tensor, factor: float) -> Tensor:
    """(b, c, h, w) with frequencies beyond 1 / (2 factor) cycles a value damped on either axis."""
    spectrum = torch.fft.rfft2(x.float())
    rows, columns = torch.fft.fftfreq(x.shape[-2]), torch.fft.rfftfreq(x.shape[-1])
    kept = _kept(rows, factor)[:, None] * _kept(columns, factor)[None]
    return torch.fft.irfft2(spectrum * kept.to(x.device), s=x.shape[-2:]).to(x.dtype)


def _kept(frequencies: Tensor, factor: float) -> Tensor:
    beyond = (frequencies.abs() - 0.5 / factor) / EDGE
    return (1 - (1 - STOP_BAND) * beyond).clamp(STOP_BAND, 1)


FAMILIES = (
    Family(
        "fouriscale",
        "FouriScale",
        "dilated share",
        (0.4, 0.7),
        paint,
        "from noise, with dilated convolutions whose input is low-passed (share 0.7 in its release). Left "
        "out: the second pass with milder filters as guidance, padding, FreeU, DDIM with added noise (eta "
        "1).",
        at_4x=(0.7,),
    ),
)
