"""Time and memory of model calls on a device: CUDA's events and allocator, the wall clock on a CPU."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from freescale_pack.nodes.host.releases import out_of_memory

GIB = 2**30


class Watch:
    """A stretch of time on the device, read after the work is done."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._start = self._mark()
        self._end: Any = None

    def _mark(self) -> Any:
        if not self._cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def stop(self) -> None:
        self._end = self._mark()

    def milliseconds(self) -> float:
        """Waits for the device."""
        if not self._cuda:
            return 1000.0 * (self._end - self._start)
        self._end.synchronize()
        return float(self._start.elapsed_time(self._end))


@dataclass
class TimedCalls:
    """ComfyUI's unet function wrapper: notes each model call, all other wrappers and patches included.

    rows: pictures times conds in the batch of each call. peaks: bytes that a call took beyond what was there
    before.
    """

    device: torch.device
    watches: list[Watch] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    peaks: list[int] = field(default_factory=list)

    def __call__(self, apply_model: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        before = allocated(self.device)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        watch = Watch(self.device)
        out = apply_model(arguments["input"], arguments["timestep"], **arguments["c"])
        watch.stop()
        self.watches.append(watch)
        self.rows.append(len(arguments["input"]))
        self.peaks.append(peak(self.device) - before)
        return out

    def milliseconds(self) -> float:
        """All calls together."""
        return sum(watch.milliseconds() for watch in self.watches)


def timed(model: Any, device: torch.device) -> tuple[Any, TimedCalls]:
    """A clone whose calls are noted."""
    calls, clone = TimedCalls(device), model.clone()
    clone.set_model_unet_function_wrapper(calls)
    return clone, calls


def allocated(device: torch.device) -> int:
    """Bytes of PyTorch's allocator that are in use; 0 on a CPU."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0


def peak(device: torch.device) -> int:
    """The most since the last reset; 0 on a CPU."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def attempted(device: torch.device, call: Callable[[], Any]) -> tuple[Any, dict[str, Any]]:
    """What a call returns, or None, and a row: outcome, and if memory was enough seconds and peak."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    start = time.perf_counter()
    try:
        out = call()
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        return None, {"outcome": "out of memory", "message": str(error)[:200]}
    seconds = time.perf_counter() - start
    return out, {"outcome": "runs", "seconds": seconds, "peak_gib": peak(device) / GIB}


def median_milliseconds(device: torch.device, call: Callable[[], Any], rounds: int) -> float:
    """Of one call, after one that is not counted."""
    call()
    watches = []
    for _ in range(rounds):
        watch = Watch(device)
        call()
        watch.stop()
        watches.append(watch)
    return statistics.median(watch.milliseconds() for watch in watches)
