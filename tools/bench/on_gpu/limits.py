"""What happens on a smaller card: the rest of this one's memory is taken away, for real."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest import mock

import torch
from comfy import model_management

from tools.bench.on_gpu.clock import GIB, attempted, timed
from tools.bench.on_gpu.log_lines import Heard
from tools.bench.on_gpu.record import Row
from tools.bench.on_gpu.subject import Subject, sample
from tools.harness.golden_cases import relative_error

CARDS_GIB = (24, 12)
SPEED_OF_SCALE = {4: "Balanced", 8: "Fast"}
"""What the templates take."""


@contextmanager
def card_of(gib: float, device: torch.device) -> Iterator[None]:
    """A block in which the device has `gib` GiB in all, the driver's own share included.

    ComfyUI's total is told, too.
    """
    model_management.unload_all_models()
    model_management.soft_empty_cache(force=True)
    free, total = torch.cuda.mem_get_info(device)
    ballast = [torch.empty(int(free - (gib * GIB - (total - free))), dtype=torch.uint8, device=device)]
    try:
        with mock.patch.object(model_management, "get_total_memory", partial(_told_total, gib * GIB)):
            yield
    finally:
        ballast.clear()
        model_management.soft_empty_cache(force=True)


def _told_total(total: float, device: Any = None, torch_total_too: bool = False) -> Any:
    return (total, total) if torch_total_too else total


def limits(subject: Subject) -> Iterator[Row]:
    """One step at 4 and 8 times the base side on cards of 24 and 12 GB; error: relative, against the whole
    card's result."""
    if subject.tiny:
        yield {"card_gib": None, "side": subject.base * 2, "outcome": "not on a CPU"}
        return
    for scale, speed in SPEED_OF_SCALE.items():
        size, model = subject.cells(scale), subject.patched(speed)
        expected = sample(subject, model, size)
        for gib in CARDS_GIB:
            with card_of(gib, subject.device), Heard() as heard:
                row = _outcome(subject, model, size, expected)
            told = heard.about("freescale", "loaded", "memory")
            yield {"card_gib": gib, "side": subject.base * scale, "variant": speed, **row, "log": told[:12]}


def _outcome(subject: Subject, model: Any, size: Any, expected: torch.Tensor) -> Row:
    clone, calls = timed(model, subject.device)
    out, row = attempted(subject.device, lambda: sample(subject, clone, size))
    if out is None:
        return row
    return {
        **row,
        "milliseconds": calls.milliseconds(),
        "rows": calls.rows,
        "peak_gib": max(calls.peaks) / GIB,
        "error": relative_error(out, expected),
    }
