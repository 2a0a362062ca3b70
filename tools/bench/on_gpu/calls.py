"""What one UNet call takes, unpatched and at each speed, in turn within one run."""

import statistics
from collections.abc import Iterator
from typing import Any

from freescale_pack.freescale_core.geometry import Size

from tools.bench.on_gpu.clock import GIB, timed
from tools.bench.on_gpu.record import Row
from tools.bench.on_gpu.subject import Subject, sample
from tools.bench.performance.counting import VARIANT_OF_SPEED
from tools.bench.performance.results import load

ROUNDS = {1: 3, 2: 5, 4: 2, 8: 1}
"""Of each scale: a call of 8 times the base side takes many seconds."""
UNCOUNTED = {1: 1, 2: 1, 4: 0, 8: 0}
"""Rounds before them, in which kernels are chosen and small tables made."""
ONE_STEP = (900.0, 880.0)


def small_calls(subject: Subject) -> Iterator[Row]:
    """Up to 4 times the base side."""
    for scale in subject.scales:
        if scale < 8:
            yield from _calls(subject, scale)


def large_calls(subject: Subject) -> Iterator[Row]:
    """8 times the base side."""
    for scale in subject.scales:
        if scale >= 8:
            yield from _calls(subject, scale)


def one_size(subject: Subject) -> Iterator[Row]:
    """Twice the base side alone: to compare flags of ComfyUI."""
    yield from _calls(subject, 2)


def _calls(subject: Subject, scale: int) -> Iterator[Row]:
    """Median milliseconds, GiB beyond what was there before, and ratios round by round, cond and uncond
    together."""
    rounds = 2 if subject.tiny else ROUNDS[scale]
    size, models = subject.cells(scale), subject.variants()
    taken: dict[str, list[float]] = {name: [] for name in models}
    peaks, batches = dict.fromkeys(models, 0), dict.fromkeys(models, 0)
    for turn in range(UNCOUNTED[scale] + rounds):
        for name, model in models.items():
            milliseconds, peaks[name], batches[name] = one_step(subject, model, size)
            if turn >= UNCOUNTED[scale]:
                taken[name].append(milliseconds)
    for name, values in taken.items():
        ratios = [value / other for value, other in zip(values, taken["unpatched"], strict=True)]
        yield {
            "side": subject.base * scale,
            "scale": scale,
            "variant": name,
            "milliseconds": statistics.median(values),
            "least": min(values),
            "most": max(values),
            "rounds": rounds,
            "of_unpatched": statistics.median(ratios),
            "peak_gib": peaks[name] / GIB,
            "calls": batches[name],
            **({} if subject.tiny else estimates(name, scale)),
        }


def estimates(variant: str, scale: int) -> dict[str, float]:
    """What docs/PERFORMANCE.md says of both passes of SDXL: operations, and bytes alive at once, counted
    without data."""
    counts, memory = load("counts"), load("memory")
    assert counts is not None and memory is not None
    operations = "unpatched" if variant == "unpatched" or scale == 1 else VARIANT_OF_SPEED[variant]
    side = 1024 * scale
    # Bytes are counted for exact and fast alone, whatever the local branch is.
    alive = "unpatched" if variant == "unpatched" else operations.split(",")[0].split()[0]
    found = [
        row["batch"]["2"]
        for row in memory["calls"]
        if (row["model"], row["size"], row["variant"]) == ("SDXL", f"{side}x{side}", alive)
    ]
    return {
        "tflop": 2 * counts["calls"]["SDXL"]["square"][operations][str(scale)] / 1e12,
        "plain_tflop": 2 * counts["calls"]["SDXL"]["square"]["unpatched"][str(scale)] / 1e12,
        **({"counted_gib": found[0] / GIB} if found else {}),
    }


def one_step(subject: Subject, model: Any, size: Size) -> tuple[float, int, int]:
    """Milliseconds, bytes and number of the model calls of one step."""
    clone, calls = timed(model, subject.device)
    sample(subject, clone, size, ONE_STEP)
    return calls.milliseconds(), max(calls.peaks), len(calls.rows)
