"""Finished stages of earlier runs, from which a cancelled, failed or changed cascade goes on.

A stage is kept under all that its latent depends on. Objects are the same only if they are the very same and
still alive, so a stage is never taken for another model, prompt or image.
"""

import weakref
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

from ...freescale_core.geometry import Size
from ...freescale_core.planning.plan import CascadePlan
from ..host.types import LatentDict, Vae
from .stages import Stage
from .start import FromImage, Start

MAX_BYTES = 2**28
"""Of all kept latents. One of 8192 x 8192 px has 16 MiB."""


class Same:
    """An object as a part of a key: equal to itself alone, and to nothing once it is gone.

    It is not kept alive.
    """

    def __init__(self, thing: Any) -> None:
        self._reference, self._id = weakref.ref(thing), id(thing)

    def __hash__(self) -> int:
        return self._id

    def __eq__(self, other: object) -> bool:
        thing = self._reference()
        return thing is not None and isinstance(other, Same) and other._reference() is thing


class KeptStages:
    """Latents by key, the least recently used ones dropped beyond `max_bytes`."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._latents: OrderedDict[Hashable, LatentDict] = OrderedDict()
        self._max_bytes = max_bytes

    def get(self, key: Hashable) -> LatentDict | None:
        if key in self._latents:
            self._latents.move_to_end(key)
        return self._latents.get(key)

    def put(self, key: Hashable, latent: LatentDict) -> None:
        self._latents[key] = latent
        self._latents.move_to_end(key)
        while sum(kept["samples"].nbytes for kept in self._latents.values()) > self._max_bytes:
            self._latents.popitem(last=False)


KEPT = KeptStages()
"""Of this process."""


def stage_keys(stages: list[Stage], vae: Vae, plan: CascadePlan, start: Start) -> list[Hashable]:
    """A key for each stage, the base first. Each holds those before it."""
    between = (_key(vae), plan.method, plan.tiling, _key(plan.upscale_model))
    keys: list[Hashable] = [(_start_key(start), _stage_key(stages[0], start.size))]
    for stage, size in zip(stages[1:], plan.stages, strict=True):
        keys.append((keys[-1], between, _stage_key(stage, size)))
    return keys


def _stage_key(stage: Stage, size: Size) -> Hashable:
    texts = tuple(_key(conditioning) for conditioning in (stage.positive, stage.negative))
    return _key(stage.model), stage.settings, texts, stage.choice, stage.start_step, size


def _start_key(start: Start) -> Hashable:
    if isinstance(start, FromImage):
        return _key(start.source)
    samples = tuple(start.latent["samples"].shape) if start.is_empty else _key(start.source)
    others = {name: value for name, value in start.latent.items() if name != "samples"}
    return samples, _key(others)


def _key(value: Any) -> Hashable:
    """A value as a part of a key. Lists and dicts go by what is in them."""
    if isinstance(value, dict):
        return tuple(
            (name, _key(part)) for name, part in sorted(value.items(), key=lambda item: str(item[0]))
        )
    if isinstance(value, list | tuple):
        return tuple(_key(part) for part in value)
    if value is None or isinstance(value, str | bytes | int | float | bool):
        return type(value).__name__, value
    try:
        return Same(value)
    except TypeError:  # It has no weak references, so nobody can tell whether it is still the same.
        return object()
