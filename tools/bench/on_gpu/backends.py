"""How much of the time is the attention kernel's: every kernel that is there, with and without FreeScale."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any
from unittest import mock

from comfy.ldm.modules import attention
from freescale_pack.freescale_core.geometry import Size
from torch.nn.attention import SDPBackend, sdpa_kernel

from tools.bench.on_gpu.clock import median_milliseconds
from tools.bench.on_gpu.record import Row
from tools.bench.on_gpu.subject import Subject
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
    level = (Size(window, window), Size(scale * window, scale * window), 640, 10)
    variants = ("plain", "exact, 3-D", "fast, 3-D")
    blocks = {name: subject.self_attention(*level, VARIANTS.get(name)) for name in variants}
    for kernel, chosen in _kernels(subject):
        row: Row = {"kernel": kernel}
        for name, block in blocks.items():
            with chosen():
                row[name] = median_milliseconds(subject.device, block.both, rounds)
        yield row


def _kernels(subject: Subject) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Name, and a context in which that kernel alone is used."""
    for name, backend in () if subject.tiny else KERNELS.items():
        yield f"PyTorch, {name}", partial(sdpa_kernel, backend)
    yield "ComfyUI's choice", nullcontext
    registered = attention.REGISTERED_ATTENTION_FUNCTIONS.values()
    for function in dict.fromkeys((attention.attention_sub_quad, attention.attention_split, *registered)):
        if function.__name__ not in NEEDS_SCORES:
            yield (
                f"ComfyUI, {function.__name__}",
                partial(mock.patch.object, attention, "optimized_attention", function),
            )
