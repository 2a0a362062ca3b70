"""The profiler's table of one patched call: kernels, launches, copies, gaps, and what waited for the
device."""

import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from tools.bench.on_gpu.clock import timed
from tools.bench.on_gpu.record import Row
from tools.bench.on_gpu.subject import Subject, sample

KINDS = {
    "attention": ("flash", "fmha", "attention", "sdpa"),
    "convolution": ("conv", "fprop", "implicit", "winograd", "nchwtonhwc", "nhwctonchw"),
    "matrix product": ("gemm", "cutlass", "nvjet", "matmul", "splitk", "addmm", "bmm"),
    "copy between host and device": ("memcpy htod", "memcpy dtoh"),
    "copy on the device, fill": ("memcpy", "memset", "copy", "fill", "cat"),
    "gather, scatter": ("index", "gather", "scatter"),
    "norm": ("norm", "welford", "rowwisemoments", "computefusedparams"),
    "activation and sum": ("elementwise", "gelu", "silu", "add", "mul"),
}
"""Words in the names of kernels, the first that fits counts."""
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "cudaMemcpy")
LARGEST = 12


def where_time_goes(subject: Subject) -> Iterator[Row]:
    """One call at the speed of the authors' code, and unpatched, at 2 and 4 times the base side."""
    exact = next(name for name in subject.variants() if name != "unpatched")
    for scale in (2,) if subject.tiny else (2, 4):
        for name in ("unpatched", exact):
            yield {"scale": scale, "variant": name, **_profiled(subject, subject.variants()[name], scale)}


def _profiled(subject: Subject, model: Any, scale: int) -> Row:
    clone, calls = timed(model, subject.device)
    sample(subject, clone, subject.cells(scale))
    activities = [ProfilerActivity.CPU] if subject.tiny else [ProfilerActivity.CPU, ProfilerActivity.CUDA]
    with profile(activities=activities) as profiled:
        sample(subject, clone, subject.cells(scale))
    events = profiled.events()
    kernels = [event for event in events if event.device_type == DeviceType.CUDA]
    by_kind: Counter[str] = Counter()
    by_name: Counter[str] = Counter()
    for event in kernels or [event for event in events if event.cpu_parent is None]:
        taken = event.device_time_total if kernels else event.cpu_time_total
        by_kind[_kind(event.name)] += taken / 1000
        by_name[event.name[:100]] += taken / 1000
    return {
        "launches": len(kernels),
        "busy_milliseconds": sum(by_kind.values()),
        "call_milliseconds": calls.watches[-1].milliseconds(),
        "waits": sum(event.name.startswith(WAITS) and "Async" not in event.name for event in events),
        "warnings": _waits_by_warnings(subject, model, scale),
        "host_copies": sum(
            event.name.lower().startswith(KINDS["copy between host and device"]) for event in kernels
        ),
        "by_kind": dict(by_kind.most_common()),
        "largest": dict(by_name.most_common(LARGEST)),
    }


def _waits_by_warnings(subject: Subject, model: Any, scale: int) -> int:
    """How often PyTorch itself warns, in one step, that the CPU waits for the device."""
    if subject.tiny:
        return 0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            sample(subject, model, subject.cells(scale))
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing" in str(warning.message) for warning in caught)


def _kind(kernel: str) -> str:
    name = kernel.lower()
    return next((kind for kind, words in KINDS.items() if any(word in name for word in words)), "other")
