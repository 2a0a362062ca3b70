"""How much of the time is the attention kernel's: every kernel that is there, with and without FreeScale."""

from collections.abc import Callable, Iterator
from typing import Any

from comfy.ldm.modules import attention
from freescale_pack.freescale_core.geometry import Size
from torch.nn.attention import SDPBackend, sdpa_kernel

from tools.bench.on_gpu.clock import median_milliseconds
from tools.bench.on_gpu.record import Row
from tools.bench.on_gpu.subject import Subject
from tools.bench.performance.attention import LoneAttention
from tools.bench.performance.counting import VARIANTS

KERNELS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "cuDNN": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
}
"""PyTorch's own."""
NEEDS_SCORES = ("attention_basic",)
"""Those of ComfyUI's functions that would store all scores of a large picture at once."""


def backends(subject: Subject) -> Iterator[Row]:
    """Milliseconds of one self-attention of SDXL's half resolution at 4 times the base side, blur
    included."""
    window, scale, rounds = (8, 2, 2) if subject.tiny else (64, 4, 5)
    like = {"device": subject.device, "dtype": subject.dtype}
    blocks = {
        name: LoneAttention(
            Size(window, window), Size(scale * window, scale * window), VARIANTS.get(name), 640, 10, **like
        )
        for name in ("plain", "exact, 3-D", "fast, 3-D")
    }
    for kernel, run in _kernels(subject):
        yield {"kernel": kernel, **{name: run(block, rounds) for name, block in blocks.items()}}


def _kernels(subject: Subject) -> Iterator[tuple[str, Callable[[LoneAttention, int], float]]]:
    """Name, and milliseconds(block, rounds) with that kernel alone."""

    def pytorch(backend: SDPBackend) -> Callable[[LoneAttention, int], float]:
        def run(block: LoneAttention, rounds: int) -> float:
            with sdpa_kernel(backend):
                return median_milliseconds(subject.device, block.both, rounds)

        return run

    def host(function: Callable[..., Any]) -> Callable[[LoneAttention, int], float]:
        def run(block: LoneAttention, rounds: int) -> float:
            before, attention.optimized_attention = attention.optimized_attention, function
            try:
                return median_milliseconds(subject.device, block.both, rounds)
            finally:
                attention.optimized_attention = before

        return run

    if not subject.tiny:
        yield from ((f"PyTorch, {name}", pytorch(backend)) for name, backend in KERNELS.items())
    yield "ComfyUI's choice", lambda block, rounds: median_milliseconds(subject.device, block.both, rounds)
    functions = {
        function.__name__: function
        for function in (
            attention.attention_sub_quad,
            attention.attention_split,
            *attention.REGISTERED_ATTENTION_FUNCTIONS.values(),
        )
        if function.__name__ not in NEEDS_SCORES
    }
    yield from ((f"ComfyUI, {name}", host(function)) for name, function in functions.items())
