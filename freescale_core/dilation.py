"""Restrained dilated convolution, eq. 5: a wider receptive field for some 3x3 convolutions, always undone."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def dilated(convs: Iterable[nn.Conv2d], factor: int) -> Iterator[None]:
    """Inside the block every 3x3 convolution of `convs` has dilation = padding = `factor` on both axes.

    Sizes do not change. Only attributes are touched, never weights. They are put back whatever happens
    inside: other users of the module, interrupted runs included, must never see the change.
    """
    saved = []
    try:
        for conv in convs:
            saved.append((conv, conv.dilation, conv.padding, conv._reversed_padding_repeated_twice))
            conv.dilation = (factor, factor)
            conv.padding = (factor, factor)
            # Read instead of `padding` when padding_mode is not "zeros" (seamless-texture patches).
            conv._reversed_padding_repeated_twice = [factor] * 4
        yield
    finally:
        for conv, dilation, padding, reversed_padding in saved:
            conv.dilation, conv.padding = dilation, padding
            conv._reversed_padding_repeated_twice = reversed_padding
