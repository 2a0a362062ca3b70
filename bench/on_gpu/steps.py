"""What is measured, the most valuable first, and how long it is expected to take on an H100."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

PACKAGE = "bench.on_gpu"


@dataclass(frozen=True)
class Step:
    """function: "module.name", imported where it runs, since its module needs the host. seconds: an estimate for an H100."""

    function: str
    seconds: float

    def load(self) -> Callable[[Any], Iterator[dict[str, Any]]]:
        module, name = self.function.split(".")
        found: Callable[[Any], Iterator[dict[str, Any]]] = getattr(import_module(f"{PACKAGE}.{module}"), name)
        return found


@dataclass(frozen=True)
class Process:
    """Steps that share one start of ComfyUI. flags: of its main.py."""

    flags: tuple[str, ...]
    steps: tuple[str, ...]


STEPS = {
    "machine": Step("calls.machine", 3),
    "golden": Step("correctness.golden", 24),
    "precision": Step("correctness.precision", 3),
    "base_size": Step("correctness.base_size", 12),
    "finite": Step("correctness.finite", 4),
    "small_calls": Step("calls.small_calls", 44),
    "where_time_goes": Step("where_time_goes.where_time_goes", 34),
    "pieces": Step("pieces.pieces", 9),
    "backends": Step("backends.backends", 14),
    "uploads": Step("pieces.uploads", 2),
    "cascade": Step("whole_cascade.cascade", 25),
    "cancelled": Step("whole_cascade.cancelled", 8),
    "memory_runs_out": Step("whole_cascade.memory_runs_out", 5),
    "limits": Step("limits.limits", 32),
    "vae_tiles": Step("limits.vae_tiles", 60),
    "large_calls": Step("calls.large_calls", 56),
    "calls_without_dynamic_vram": Step("calls.one_size", 10),
    "channels_last": Step("layouts.channels_last", 8),
    "calls_with_novram": Step("calls.one_size", 20),
    "compiled": Step("layouts.compiled", 60),
}
START_SECONDS = 25
"""Of a process: imports, and weights of SDXL's size."""
FLAGS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("--disable-dynamic-vram",): ("calls_without_dynamic_vram", "channels_last", "compiled"),
    ("--novram",): ("calls_with_novram",),
}
"""Steps that need flags of ComfyUI; all others run as ComfyUI starts by itself."""
PROCESSES = (
    Process((), tuple(name for name in STEPS if not any(name in steps for steps in FLAGS.values()))),
    *(Process(flags, steps) for flags, steps in FLAGS.items()),
)
