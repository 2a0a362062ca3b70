"""How much memory the temporaries of one attention or blur call may take."""

import logging
from collections.abc import Callable
from typing import TypeVar

import torch
from comfy import model_management

from ..host.releases import CatchOutOfMemory, attention_keeps_scores

log = logging.getLogger("FreeScale")
T = TypeVar("T")
FreeMemory = Callable[[torch.device], float]
"""Bytes that are free on a device."""
FREE_MEMORY_DIVISOR = 4
"""Temporaries get at most this part of the memory that is free when a run begins to attend, but at least what
OOM_DIVISOR says."""
OUTPUT_DIVISOR = 2
"""This part of an attention output is enough for them, however little is free.

Smaller parts only add calls.
"""
AMPLE_DIVISOR = 16
"""This part of a GPU's free memory is taken to save calls: on a fast GPU each costs more than it computes."""
AMPLE_DEVICES = ("cuda", "xpu", "meta")
"""A CPU is faster in small chunks, and Apple's GPUs have limits of their own."""
OOM_DIVISOR = 16
"""The part of an attention output that they get once memory ran out, or where none is free."""
MIN_CHUNK_BYTES = 2**22
"""Never split below this size: smaller chunks only add kernel launches.

Half of SDXL's smallest output from 2048 px on is larger.
"""


class MemoryBudget:
    """Upper bound, in bytes, of the temporaries of one attention or blur call.

    It is half an attention output, or a sixteenth of a GPU's free memory where that is more, and less where
    little memory is free. After an out-of-memory error it drops to a sixteenth of an output for the rest of
    the run. It changes results by rounding at most.
    """

    def __init__(self, free_memory: FreeMemory = model_management.get_free_memory) -> None:
        self._free_memory = free_memory
        self._free: dict[torch.device, float] = {}
        self._ran_out = False

    def within(
        self,
        compute: Callable[[int], T],
        output_bytes: int,
        device: torch.device,
        min_chunk_bytes: int = MIN_CHUNK_BYTES,
    ) -> T:
        """Return compute(bytes), called again with less if memory runs out.

        output_bytes: of an attention output.
        """
        least = output_bytes // OOM_DIVISOR
        if not self._ran_out:
            free = self._free_on(device)
            enough = max(output_bytes // OUTPUT_DIVISOR, min_chunk_bytes, self._ample(free, device))
            with CatchOutOfMemory():
                return compute(max(least, min(enough, int(free / FREE_MEMORY_DIVISOR))))
            # Outside of `except`, which would keep the tensors of the failed call alive.
            log.warning(
                "FreeScale: out of memory, attention goes on in small chunks for the rest of this run."
            )
            self._ran_out = True
        return compute(least)

    def _free_on(self, device: torch.device) -> float:
        """Bytes that were free when the run first asked: asking makes the CPU wait for the device."""
        if device not in self._free:
            self._free[device] = self._free_memory(device)
        return self._free[device]

    def _ample(self, free: float, device: torch.device) -> int:
        """Bytes that save calls where they are to be had; 0 where larger chunks do not help."""
        if device.type not in AMPLE_DEVICES or attention_keeps_scores():
            return 0
        return int(free / AMPLE_DIVISOR)
