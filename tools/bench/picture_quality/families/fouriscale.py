"""FouriScale (arXiv 2403.12963): dilated convolutions whose input is low-passed, from noise at the target
size.

A dilated kernel reads every s-th value. So that these are what the base size would have held, frequencies
beyond 1 / (2 s) are cut from the convolution's input first. The dilation is whole for 20 of 50 steps and
gone after 35.

Departures: the ideal filter without its softened edge; no padding to a table of aspects (the target's own is
kept); no second pass with milder filters as guidance. The knob is where the dilation ends, 0.7 there.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from freescale_pack.freescale_core.schedule import TIMESTEPS
from torch import Tensor, nn

from tools.bench.picture_quality.families.dilated_layers import (
    Convs,
    convs_of,
    deepest_down_convs,
    up_levels,
    with_dilated_layers,
)
from tools.bench.picture_quality.families.family import Family
from tools.bench.picture_quality.painter import Painter, Shot

WHOLE_SHARE = 20 / 35
"""Part of the dilated steps before the dilation shrinks."""


def paint(painter: Painter, shot: Shot, until: float) -> Tensor:
    def layers(unet: Any, t: float, factor: int) -> Iterable[tuple[Convs, int]]:
        d = factor_at(1 - t / TIMESTEPS, until, factor)
        convs = [*deepest_down_convs(unet), *convs_of([unet.middle_block]), *sum(up_levels(unet)[:2], [])]
        return [(convs, d)] if d > 1 else []

    return painter.direct(shot, with_dilated_layers(painter.model, shot.base, layers, low_passed))


def factor_at(progress: float, until: float, factor: int) -> int:
    """The dilation at a share of the schedule: `factor` at first, then down to 1 at `until`."""
    whole = until * WHOLE_SHARE
    left = min(1.0, (until - progress) / (until - whole))
    return max(1, round(1 + left * (factor - 1)))


@contextmanager
def low_passed(convs: Convs, factor: int) -> Iterator[None]:
    """Low-pass the input of the convolutions inside the block."""

    def hook(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return low_pass(inputs[0], factor), *inputs[1:]

    handles = [conv.register_forward_pre_hook(hook) for conv in convs]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def low_pass(x: Tensor, factor: int) -> Tensor:
    """(b, c, h, w) without the frequencies beyond 1 / (2 factor) cycles a value on either axis."""
    spectrum = torch.fft.rfft2(x.float())
    rows, columns = torch.fft.fftfreq(x.shape[-2]), torch.fft.rfftfreq(x.shape[-1])
    kept = (rows.abs() <= 0.5 / factor)[:, None] & (columns <= 0.5 / factor)[None]
    return torch.fft.irfft2(spectrum * kept.to(x.device), s=x.shape[-2:]).to(x.dtype)


FAMILIES = (Family("fouriscale", "FouriScale", "dilated share", (0.4, 0.7), paint, at_4x=(0.7,)),)
