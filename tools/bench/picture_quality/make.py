"""Makes the images of a plan that are missing, until time is up, and counts what one of each point costs."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from tools.bench.performance.counting import CPU_ATTENTION
from tools.bench.picture_quality.experiment import Job
from tools.bench.picture_quality.painter import Latent, Painter, Shot
from tools.bench.picture_quality.store import Store

PRINT_SECONDS = 20.0


def make(jobs: Sequence[Job], painter: Painter, store: Store, deadline: float) -> int:
    """How many images are still missing at `deadline` (time.monotonic)."""
    missing = [job for job in jobs if not store.has(job.key)]
    print(f"  {len(jobs)} images, {len(jobs) - len(missing)} of them are there already", flush=True)
    bases: dict[str, Latent] = {}
    start = said = time.monotonic()
    for count, job in enumerate(missing):
        if time.monotonic() > deadline:
            left = len(missing) - count
            print(f"  time is up, {left} images are missing; the same command makes them", flush=True)
            return left
        if not store.has(job.key):  # A second process may have made it by now.
            name = str(job.base_key)
            if name not in bases:
                bases[name] = painter.base_latent(job.text, job.seed, job.table.base)
            _make_one(job, painter, store, bases[name])
        if time.monotonic() - said > PRINT_SECONDS:
            said = time.monotonic()
            what = job.point.name if job.point else "base"
            print(
                f"  {count + 1}/{len(missing)}, {(said - start) / 60:.1f} min: {job.table.name} {what}",
                flush=True,
            )
    return 0


def _make_one(job: Job, painter: Painter, store: Store, base: Latent) -> None:
    if job.point is None:
        store.save(job.key, as_bytes(painter.decoded(base)))
        return
    family, value = job.point.family, job.point.value
    shot = Shot(job.text, job.seed, job.table.base, job.table.stages, base)
    if store.cost(job.point_key):
        store.save(job.key, as_bytes(family.paint(painter, shot, value)))
        return
    image, cost = counted(painter.model, lambda: family.paint(painter, shot, value))
    store.save(job.key, as_bytes(image))
    store.save_cost(job.point_key, cost)


def counted(model: Any, paint: Callable[[], Tensor]) -> tuple[Tensor, dict[str, float]]:
    """The image, and the UNet's calls and floating point operations in the making of it."""
    unet = model.get_model_object("diffusion_model")
    calls: list[int] = []
    handle = unet.register_forward_pre_hook(lambda module, inputs: calls.append(len(inputs[0])))
    try:
        with FlopCounterMode(display=False, custom_mapping=CPU_ATTENTION) as counter:
            image = paint()
    finally:
        handle.remove()
    flops = sum(counter.get_flop_counts().get(type(unet).__name__, {}).values())
    return image, {"flops": float(flops), "calls": len(calls)}


def as_bytes(image: Tensor) -> np.ndarray:
    """(1, h, w, 3) in 0..1 -> uint8 (h, w, 3)."""
    return (image[0] * 255).round().clamp(0, 255).to(torch.uint8).numpy()
