"""What is measured, the most valuable first, and how long it is expected to take on an H100."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

PACKAGE = "tools.bench.on_gpu"


@dataclass(frozen=True)
class Step:
    """function: "module.name", imported where it runs, since its module needs the host. seconds: an estimate
    for an H100.

    flags: of ComfyUI's main.py; most steps run as it starts by itself.
    """

    function: str
    seconds: float
    flags: tuple[str, ...] = ()

    def load(self) -> Callable[[Any], Iterator[dict[str, Any]]]:
        module, name = self.function.split(".")
        found: Callable[[Any], Iterator[dict[str, Any]]] = getattr(import_module(f"{PACKAGE}.{module}"), name)
        return found


WITHOUT_DYNAMIC_VRAM, NOVRAM = ("--disable-dynamic-vram",), ("--novram",)
STEPS = {
    "machine": Step("ceilings.machine", 3),
    "golden": Step("correctness.golden", 24),
    "precision": Step("correctness.precision", 3),
    "base_size": Step("correctness.base_size", 12),
    "finite": Step("correctness.finite", 4),
    "small_calls": Step("calls.small_calls", 44),
    "where_time_goes": Step("where_time_goes.where_time_goes", 34),
    "pieces": Step("pieces.pieces", 9),
    "backends": Step("backends.backends", 14),
    "uploads": Step("uploads.uploads", 2),
    "cascade": Step("whole_cascade.cascade", 25),
    "cancelled": Step("whole_cascade.cancelled", 8),
    "memory_runs_out": Step("whole_cascade.memory_runs_out", 5),
    "limits": Step("limits.limits", 32),
    "vae_tiles": Step("vae_tiles.vae_tiles", 60),
    "large_calls": Step("calls.large_calls", 56),
    "calls_without_dynamic_vram": Step("calls.one_size", 10, WITHOUT_DYNAMIC_VRAM),
    "channels_last": Step("layouts.channels_last", 8, WITHOUT_DYNAMIC_VRAM),
    "calls_with_novram": Step("calls.one_size", 20, NOVRAM),
    "compiled": Step("layouts.compiled", 60, WITHOUT_DYNAMIC_VRAM),
}
START_SECONDS = 25
"""Of a process: imports, and weights of SDXL's size."""
PROCESSES = {
    flags: [name for name, step in STEPS.items() if step.flags == flags]
    for flags in dict.fromkeys(step.flags for step in STEPS.values())
}
"""Flags of ComfyUI -> the steps that share one start with them."""
