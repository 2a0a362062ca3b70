"""How many kernels a self-attention launches on a GPU: on a fast one, the CPU that prepares them is what takes the time."""

import pytest
import torch
from freescale_pack.freescale_core.geometry import Size

from bench.performance import attention
from bench.performance.attention import LoneAttention
from bench.performance.counting import VARIANTS
from bench.performance.launches import launches

LEVELS = ((64, 640, 10, 10), (32, 1280, 20, 60))
"""SDXL's: side of the window in tokens, channels, heads, layers."""
SPEEDS = ("exact, 3-D", "fast, 3-D", "fast neighbourhoods, 3-D")
FREE_GIB = {"a card of 12 GB": 5, "a card of 80 GB": 60}
"""What is left beside weights and activations at 4096 px."""
MOST = {
    ("a card of 12 GB", 2): (3100, 3100, 1500),
    ("a card of 12 GB", 4): (7900, 7900, 2700),
    ("a card of 80 GB", 2): (3000, 3000, 1400),
    ("a card of 80 GB", 4): (5800, 5800, 1400),
    ("a card of 80 GB", 8): (19000, 19000, 1500),
}
"""Card, scale -> of all of SDXL's 70 self-attentions, by SPEEDS. The first version that ran on a GPU took 15 to 55 thousand."""


def block(name, scale, window, channels, heads):
    """Cond and uncond in one batch, in half precision, without data."""
    lone = LoneAttention(Size(window, window), Size(window * scale, window * scale), VARIANTS.get(name), channels, heads, device="meta")
    lone.tokens = tuple(torch.empty(2, *x.shape[1:], device="meta", dtype=torch.float16) for x in lone.tokens)
    lone.options["activations_shape"][0] = 2
    return lone


@pytest.mark.parametrize(("card", "scale"), MOST)
def test_a_call_launches_few_kernels_more(card, scale, monkeypatch):
    monkeypatch.setattr(attention, "scarce", lambda output_bytes: lambda device: FREE_GIB[card] * 2**30)
    for name, most in zip(SPEEDS, MOST[card, scale], strict=True):
        counted = sum(layers * sum(launches(block(name, scale, *level).both).values()) for *level, layers in LEVELS)
        print(f"{card}, {scale}x, {name}: {counted}")
        assert counted <= most


def test_a_plain_attention_is_one_kernel():
    assert sum(launches(block(None, 2, 64, 640, 10).both).values()) == 1


def test_little_memory_costs_launches_and_not_memory(monkeypatch):
    few, many = (sum(launches(block("exact, 3-D", 2, 64, 640, 10).both).values()) for _ in _free(monkeypatch, (60, 0)))
    assert many > 2 * few


def _free(monkeypatch, gib):
    for each in gib:
        monkeypatch.setattr(attention, "scarce", lambda output_bytes, each=each: lambda device: each * 2**30)
        yield each
