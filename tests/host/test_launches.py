"""How many kernels a self-attention launches on a GPU: on a fast one, the CPU that prepares them is what
takes the time."""

import pytest
import torch
from freescale_pack.freescale_core.geometry import Size

from tools.bench.performance import attention
from tools.bench.performance.attention import LoneAttention
from tools.bench.performance.counting import VARIANTS
from tools.bench.performance.launches import launches

LEVELS = ((64, 640, 10, 10), (32, 1280, 20, 60))
"""SDXL's: side of the window in tokens, channels, heads, layers."""
SPEEDS = ("exact, 3-D", "fast, 3-D", "fast neighbourhoods, 3-D")
LITTLE, MUCH = 2, 60
"""GiB that are free when a run begins: on a card of 12 GB, whose other memory weights and a call at 4096 px
take, and of 80 GB."""
MOST = {
    (LITTLE, 2): (3900, 3900, 1900),
    (LITTLE, 4): (12000, 12500, 6500),
    (MUCH, 2): (3300, 3300, 1600),
    (MUCH, 4): (6500, 6500, 1600),
    (MUCH, 8): (21000, 21000, 1700),
}
"""Free memory, scale -> in all of SDXL's 70 self-attentions, by SPEEDS; a profiler on a GPU counted 3011 at
2x and 5803 at 4x, copies to the device included (docs/PERFORMANCE.md, where the time goes: patched less
unpatched)."""


def block(name, scale, window, channels, heads):
    """Cond and uncond in one batch, in half precision, without data."""
    lone = LoneAttention(
        Size(window, window),
        Size(window * scale, window * scale),
        VARIANTS.get(name),
        channels,
        heads,
        device="meta",
    )
    lone.tokens = tuple(torch.empty(2, *x.shape[1:], device="meta", dtype=torch.float16) for x in lone.tokens)
    lone.options["activations_shape"][0] = 2
    return lone


@pytest.mark.parametrize(("free", "scale"), MOST)
def test_a_call_launches_no_more_kernels_than_it_did(free, scale, monkeypatch):
    monkeypatch.setattr(attention, "scarce", lambda output_bytes: lambda device: free * 2**30)
    for name, most in zip(SPEEDS, MOST[free, scale], strict=True):
        counted = sum(
            layers * sum(launches(block(name, scale, *level).both).values()) for *level, layers in LEVELS
        )
        print(f"{free} GiB, {scale}x, {name}: {counted}")
        assert counted <= most


def test_a_plain_attention_is_one_kernel():
    assert sum(launches(block(None, 2, 64, 640, 10).both).values()) == 1
