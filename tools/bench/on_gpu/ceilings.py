"""What the device can do at most: products of matrices and copies."""

from collections.abc import Iterator

import torch

from tools.bench.on_gpu.clock import GIB, median_milliseconds
from tools.bench.on_gpu.record import Row
from tools.bench.on_gpu.subject import Subject

PRODUCT = 8192
"""Side of the matrices."""


def machine(subject: Subject) -> Iterator[Row]:
    """The device's own ceilings: a product of half precision and a copy."""
    rate, bandwidth = _product_rate(subject), _copy_rate(subject)
    yield {"tflops": rate, "gb_per_s": bandwidth, "total_gib": _total_gib(subject)}


def _product_rate(subject: Subject) -> float:
    """TFLOP/s of a square matrix product of random numbers."""
    side = 256 if subject.tiny else PRODUCT
    a, b = (torch.randn(side, side, device=subject.device, dtype=subject.dtype) for _ in range(2))
    return 2 * side**3 / median_milliseconds(subject.device, lambda: a @ b, 10) / 1e9


def _copy_rate(subject: Subject) -> float:
    """GB/s of a copy on the device, read and written bytes counted."""
    source = torch.ones(2**20 if subject.tiny else 2**31, device=subject.device, dtype=torch.uint8)
    target = torch.empty_like(source)
    return 2 * source.nbytes / median_milliseconds(subject.device, lambda: target.copy_(source), 10) / 1e6


def _total_gib(subject: Subject) -> float | None:
    return None if subject.tiny else torch.cuda.get_device_properties(subject.device).total_memory / GIB
