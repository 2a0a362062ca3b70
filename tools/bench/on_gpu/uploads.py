"""Whether a copy to the device makes the CPU wait for it."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from freescale_pack.freescale_core.attention.gather import upload
from torch import Tensor

from tools.bench.on_gpu.record import Row
from tools.bench.on_gpu.subject import Subject

UPLOADS = (2**10, 2**14, 2**16, 2**17, 2**20)
"""Bytes of a copy to the device."""
BUSY = 4096
"""Side of the products that keep the device busy meanwhile."""


def uploads(subject: Subject) -> Iterator[Row]:
    """Milliseconds that the CPU spends in a copy to the device while the device is busy for much longer."""
    if subject.tiny:
        yield {"bytes": 0, "how": "not on a CPU", "milliseconds": 0.0, "busy": 0.0}
        return
    a = torch.randn(BUSY, BUSY, device=subject.device, dtype=subject.dtype)
    for size in UPLOADS:
        pageable = torch.zeros(size, dtype=torch.uint8)
        pinned, device = pageable.pin_memory(), subject.device
        copies: dict[str, Callable[[], Any]] = {
            "blocking": partial(pageable.to, device),
            "not blocking": partial(pageable.to, device, non_blocking=True),
            "pinned": partial(pinned.to, device, non_blocking=True),
            "pinned now": lambda p=pageable: p.pin_memory().to(subject.device, non_blocking=True),
            "upload": partial(upload, pageable.view(-1, 8).numpy(), device),
        }
        for how, copy in copies.items():
            copy()
            yield {"bytes": size, "how": how, **_while_busy(a, copy)}


def _while_busy(a: Tensor, copy: Callable[[], Any]) -> dict[str, float]:
    """Milliseconds in the copy, and until the products that were queued before it are done."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(200):
        a @ a
    queued = time.perf_counter()
    copy()
    copied = time.perf_counter()
    torch.cuda.synchronize()
    return {"milliseconds": 1000 * (copied - queued), "busy": 1000 * (time.perf_counter() - start)}
