"""What happens on a smaller card: the rest of this one's memory is taken away, for real."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest import mock

import torch
from comfy import model_management
from freescale_pack.nodes import vae_stage
from freescale_pack.nodes.host import out_of_memory

from tests.host.golden_cases import relative_error

from .clock import GIB, timed
from .subject import Subject, noise, sample

Row = dict[str, Any]
CARDS_GIB = (24, 12)
TILES = (512, 768, 1024)


@contextmanager
def card_of(gib: float, device: torch.device) -> Iterator[None]:
    """A block in which the device has `gib` GiB in all, the driver's own share included. ComfyUI's total is told, too."""
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


class Heard(logging.Handler):
    """The log's lines inside the block, once each."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        if line not in self.lines:
            self.lines.append(line)

    def __enter__(self) -> "Heard":
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *error: object) -> None:
        logging.getLogger().removeHandler(self)


def limits(subject: Subject) -> Iterator[Row]:
    """One step at 4 and 8 times the base side on cards of 24 and 12 GB; error: relative, against the whole card's result."""
    if subject.tiny:
        yield {"card_gib": None, "side": subject.base * 2, "outcome": "not on a CPU"}
        return
    speeds = dict(zip((4, 8), list(subject.variants())[2:], strict=True))
    for scale, speed in speeds.items():
        size, model = subject.cells(scale), subject.patched(speed)
        expected = sample(subject, model, size)
        for gib in CARDS_GIB:
            with card_of(gib, subject.device), Heard() as heard:
                row = _outcome(subject, model, size, expected)
            told = [line for line in heard.lines if "FreeScale" in line or "loaded" in line.lower() or "memory" in line.lower()]
            yield {"card_gib": gib, "side": subject.base * scale, "variant": speed, **row, "log": told[:12]}


def _outcome(subject: Subject, model: Any, size: Any, expected: torch.Tensor) -> Row:
    clone, calls = timed(model, subject.device)
    start = time.perf_counter()
    try:
        out = sample(subject, clone, size)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        return {"outcome": "out of memory", "message": str(error)[:200]}
    return {
        "outcome": "runs",
        "seconds": time.perf_counter() - start,
        "milliseconds": calls.milliseconds(),
        "rows": calls.rows,
        "peak_gib": max(calls.peaks) / GIB,
        "error": relative_error(out, expected),
    }


def vae_tiles(subject: Subject) -> Iterator[Row]:
    """Decoding 4 times the base side, by tile and number type. Whole, where the memory lets it."""
    types = {"as loaded": None} if subject.tiny else {"fp16": torch.float16, "bf16": torch.bfloat16}
    tiles = (128,) if subject.tiny else TILES
    samples = noise((1, 4, *subject.cells(2 if subject.tiny else 4)), 0)
    for name, dtype in types.items():
        vae = subject.vae(dtype)
        vae.decode(samples[..., :32, :32])  # Kernels are chosen, weights are moved.
        for tile in (*tiles, None):
            yield {"numbers": name, "tile": tile, "side": samples.shape[-1] * 8, **_decoded(subject, vae, samples, tile)}
        model_management.unload_all_models()


def _decoded(subject: Subject, vae: Any, samples: torch.Tensor, tile: int | None) -> Row:
    if subject.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(subject.device)
    start = time.perf_counter()
    with Heard() as heard:
        try:
            picture = vae.decode(samples) if tile is None else vae_stage.decode_tiled(vae, samples, tile)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            return {"outcome": "out of memory"}
    fell_back = any("tiled" in line.lower() for line in heard.lines)
    return {
        "outcome": "tiled by ComfyUI, since memory ran out" if fell_back else "runs",
        "seconds": time.perf_counter() - start,
        "peak_gib": torch.cuda.max_memory_allocated(subject.device) / GIB if subject.device.type == "cuda" else 0.0,
        "finite": bool(picture.isfinite().all()),
    }
