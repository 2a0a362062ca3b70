"""What FreeScale costs, counted on tensors without data: no clock, so no machine can disturb it."""

from functools import partial
from typing import Any

import pytest
import torch
from freescale_pack.freescale_core.attention import fusion
from freescale_pack.freescale_core.attention.blur import Gaussian, blur_rows, rows_apart
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.nodes.patching.memory_budget import FREE_MEMORY_DIVISOR, MIN_CHUNK_BYTES, MemoryBudget
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tools.bench.performance.attention import LoneAttention
from tools.bench.performance.counting import SCALES, VARIANTS, call_flops, real_flops, speed_share
from tools.bench.performance.models import MODELS, MetaCall
from tools.bench.performance.storage import allocator_peak, live_peak

SDXL = MODELS[0]
BASE = Size(1024, 1024)
# Side of the picture: TFLOP of one pass of the plain UNet, and how many times as many each variant may need.
LIMITS = {
    2048: (35.9, {"exact, 2-D": 1.19, "exact, 3-D": 1.22, "fast, 2-D": 0.94, "fast, 3-D": 0.97}),
    4096: (287.8, {"exact, 2-D": 1.13, "exact, 3-D": 1.145, "fast, 2-D": 0.51, "fast, 3-D": 0.52}),
    8192: (3459.9, {"exact, 2-D": 1.05, "exact, 3-D": 1.055, "fast, 2-D": 0.18, "fast, 3-D": 0.18}),
}
META = {"device": "meta", "dtype": torch.float16}


@pytest.mark.parametrize("side", LIMITS)
def test_a_call_costs_no_more_than_its_limit(side):
    tflop, limits = LIMITS[side]
    plain = call_flops(MetaCall(SDXL, BASE, Size(side, side)))
    assert plain / 1e12 == pytest.approx(tflop, rel=2e-3)
    for name, limit in limits.items():
        ratio = call_flops(MetaCall(SDXL, BASE, Size(side, side), VARIANTS[name])) / plain
        print(f"{side} {name}: {ratio:.3f}")
        assert limit - 0.02 < ratio <= limit, name  # Far below, something would not be computed at all.


def test_speed_fast_takes_a_quarter_of_direct_sampling_at_4k():
    names = ("exact, 3-D", "fast, 3-D", "fast neighbourhoods, 3-D")
    flops = {"unpatched": {s: call_flops(MetaCall(SDXL, BASE, Size(1024 * s, 1024 * s))) for s in SCALES[:3]}}
    for name in names:
        flops[name] = {
            s: call_flops(MetaCall(SDXL, BASE, Size(1024 * s, 1024 * s), VARIANTS[name])) for s in SCALES[1:3]
        }
    exact, balanced, fast = (speed_share(flops, speed, 4) for speed in ("Exact", "Balanced", "Fast"))
    print(f"4096 Exact: {exact:.3f}, Balanced: {balanced:.3f}, Fast: {fast:.3f}")
    assert 0.1 < fast <= 0.25 < balanced <= 0.5 < exact <= 0.95


def lone(name: str, scale: int, **like: Any) -> LoneAttention:
    """SDXL's half-resolution level."""
    return LoneAttention(
        Size(64, 64), Size(64 * scale, 64 * scale), VARIANTS[name] if name else None, 640, 10, **like
    )


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize(
    "name",
    ["exact, 3-D", "exact, 2-D", "fast, 3-D", "fast, 2-D", "neighbourhoods, 3-D", "fast neighbourhoods, 3-D"],
)
def test_fused_attention_takes_an_output_and_a_half_more_than_plain_attention(name, scale):
    """One output is the second branch, half of one all temporaries. At 2x one window, or one sub-grid, would
    take a whole one: q, k, v and result of a quarter of the picture. So half of the heads at a time."""
    fused, plain = lone(name, scale, **META), lone("", scale, **META)
    fused.attend()  # Small tables are made and cached.
    assert live_peak(fused.attend) - live_peak(plain.attend) <= 1.5 * plain.output_bytes


def test_a_2d_blur_inside_attention_stays_within_the_same_bound():
    """It runs while q, k and v are still there. A wide picture's smallest level has few, long rows."""
    window, grid = Size(24, 96), Size(48, 192)
    plain, fused = (
        LoneAttention(window, grid, fusion, 1280, 20, **META) for fusion in (None, VARIANTS["exact, 2-D"])
    )
    fused.attend()  # Small tables are made and cached.
    assert live_peak(fused.attend) - live_peak(plain.attend) <= 1.5 * plain.output_bytes


def test_small_attentions_take_a_few_bytes_more():
    """SDXL's smallest level at 2x still holds the bound; below 8 MiB an output, 4 MiB are allowed."""
    for window, most in ((32, 0), (16, MIN_CHUNK_BYTES), (8, MIN_CHUNK_BYTES)):
        plain, fused = (
            LoneAttention(Size(window, window), Size(2 * window, 2 * window), fusion, 1280, 20, **META)
            for fusion in (None, VARIANTS["exact, 3-D"])
        )
        extra = live_peak(fused.attend) - live_peak(plain.attend)
        assert extra <= plain.output_bytes + max(plain.output_bytes // 2, most), window


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("kernel_size", [3, 15])
@pytest.mark.parametrize("over_channels", [True, False])
def test_a_blur_takes_the_bytes_that_its_chunks_are_cut_by(dtype, kernel_size, over_channels):
    """The allocator's own figures, for rows in the middle of an image and all that is read around them."""
    x, reach = torch.zeros(2, 64, 32, 64, dtype=dtype), kernel_size // 2

    def blur():
        return blur_rows(x, 16, 48, Gaussian(kernel_size, 1.0, over_channels))

    blur()  # Bands are made and cached.
    held = fusion.BLUR_TENSORS * rows_apart(32, reach, 2)
    assert 0.6 < allocator_peak(blur) / (held * x[:, 0].nbytes) <= 1.0


@pytest.mark.parametrize(
    ("window", "scale", "channels", "most"),
    [*((Size(64, 64), scale, 640, 1.0) for scale in (2, 4, 8)), (Size(20, 48), 2, 1280, 1.0)],
)
def test_a_blur_takes_an_attention_output_at_most(window, scale, channels, most):
    """Even of a wide picture's smallest level.

    At that moment q, k and v are gone, so the call's peak stays where it is.
    """
    grid = Size(window.height * scale, window.width * scale)
    block = LoneAttention(window, grid, VARIANTS["exact, 3-D"], channels, channels // 64, **META)
    projected = block.attend()
    block.fuse(projected)  # Bands are made and cached.
    outputs = live_peak(lambda: block.fuse(projected)) / block.output_bytes
    print(f"{grid}: {outputs:.2f}")
    assert outputs <= most


def test_attention_on_the_cpu_is_counted_too():
    q, k = torch.randn(1, 2, 12, 16), torch.randn(1, 2, 20, 16)
    assert (
        real_flops(lambda: torch.nn.functional.scaled_dot_product_attention(q, k, k)) == 4 * 2 * 12 * 20 * 16
    )


class BlockingCopies(TorchDispatchMode):
    """Notes copies to another device that make the CPU wait: blocking ones, and those of more than 64 KB, for
    which CUDA promises nothing if they come from pageable memory. (Reading a value back fails on tensors
    without data.)"""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.copies = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = dict(zip((a.name for a in func._schema.arguments), args, strict=False)) | (kwargs or {})
        moved = [
            t
            for t in tree_leaves(given)
            if isinstance(t, torch.Tensor) and t.ndim and t.device != getattr(out, "device", t.device)
        ]
        self.copies += len(moved)
        if moved and (not given.get("non_blocking") or max(t.nbytes for t in moved) > 2**16):
            self.found.append(f"{func} of {[tuple(t.shape) for t in moved]}")
        return out


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("name", ["exact, 3-D", "exact, 2-D", "fast, 3-D", "neighbourhoods, 3-D"])
def test_no_attention_block_waits_for_the_device(name, scale):
    block = lone(name, scale, **META)
    block.both()  # Small tables are made and cached.
    with BlockingCopies() as copies:
        block.both()
    assert copies.found == []
    assert (copies.copies > 0) == (not name.startswith("neighbourhoods"))


def test_a_large_or_a_blocking_copy_is_noticed():
    for bytes_, non_blocking, waits in ((2**16, True, False), (2**16 + 1, True, True), (1, False, True)):
        with BlockingCopies() as copies:
            torch.ones(bytes_, dtype=torch.uint8).to("meta", non_blocking=non_blocking)
        assert len(copies.found) == waits


@pytest.mark.parametrize("name", ["exact, 3-D", "exact, 2-D", "fast, 3-D", "fast neighbourhoods, 3-D"])
def test_results_do_not_depend_on_how_much_memory_is_free(name, monkeypatch):
    """From all in one call down to one window, a few queries and rows at a time."""
    block = LoneAttention(Size(7, 9), Size(15, 22), VARIANTS[name], 32, 2)
    expected = block.both()
    for free in (block.output_bytes, block.output_bytes // 3, 0):
        budget = partial(MemoryBudget, lambda device, free=free: free * FREE_MEMORY_DIVISOR)
        monkeypatch.setattr(LoneAttention, "_budget", lambda self, budget=budget: budget())
        got = LoneAttention(Size(7, 9), Size(15, 22), VARIANTS[name], 32, 2).both()
        assert (got - expected).norm() / expected.norm() < 1e-6
