"""Finished stages of earlier runs, from which a cancelled, failed or changed cascade goes on.

A stage is kept under all that its latent depends on. An object is the same only if it is the very same and
still alive. What nodes changed in place is told by the part of the prompt that MODEL, VAE and prompts come
from.
"""

import dataclasses
import weakref
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from comfy import model_management
from torch import Tensor

from ...freescale_core.geometry import Size
from ...freescale_core.planning.plan import CascadePlan
from ..host.prompt_graph import upstream
from ..host.types import Vae
from .stages import Stage
from .start import FromImage, Start

MAX_BYTES = 2**28
"""Of all kept latents. One of 8192 x 8192 px has 16 MiB."""


class Same:
    """An object as a part of a key: equal to itself alone, and to nothing once it is gone.

    It is not kept alive.
    """

    def __init__(self, thing: Any) -> None:
        self.reference, self._id = weakref.ref(thing), id(thing)

    def __hash__(self) -> int:
        return self._id

    def __eq__(self, other: object) -> bool:
        thing = self.reference()
        return thing is not None and isinstance(other, Same) and other.reference() is thing


class KeptStages:
    """Latents (b, c, h, w) by key, copies on the CPU.

    Those that nothing can match any more go, and the least recently used ones beyond `max_bytes`.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.unfinished = 0
        """How many cascades have ended for lack of memory."""
        self._latents: OrderedDict[Hashable, Tensor] = OrderedDict()
        self._max_bytes = max_bytes

    def get(self, key: Hashable) -> Tensor | None:
        """A copy, where ComfyUI keeps latents between nodes."""
        if key not in self._latents:
            return None
        self._latents.move_to_end(key)
        return self._latents[key].to(model_management.intermediate_device(), copy=True)

    def put(self, key: Hashable, samples: Tensor) -> None:
        for stale in [
            known for known in self._latents if any(part.reference() is None for part in _things(known))
        ]:
            del self._latents[stale]
        self._latents[key] = samples.to("cpu", copy=True)
        self._latents.move_to_end(key)
        while sum(kept.nbytes for kept in self._latents.values()) > self._max_bytes:
            self._latents.popitem(last=False)

    def clear(self) -> None:
        self._latents.clear()

    def __len__(self) -> int:
        return len(self._latents)


KEPT = KeptStages()
"""Of this process."""


def stage_keys(
    stages: list[Stage], vae: Vae | None, plan: CascadePlan, start: Start, origin: Hashable = None
) -> list[Hashable]:
    """A key for each stage, the base first. Each holds those before it. origin: see `origin_of`."""
    resized = _key(vae), plan.method, plan.tiling, _key(plan.upscale_model)
    keys: list[Hashable] = [(origin, _start_key(start), _stage_key(stages[0], start.size))]
    for stage, size in zip(stages[1:], plan.stages, strict=True):
        keys.append((keys[-1], resized, _stage_key(stage, size)))
    return keys


def origin_of(prompt: Mapping[str, Any] | None, node: str | None, inputs: tuple[str, ...]) -> Hashable:
    """The nodes of a prompt, with their values, that some inputs of a node come from; None outside a server.

    Some nodes change a MODEL or VAE in place and return it: the object is the same, and these values are not.
    """
    if not prompt or node is None or node not in prompt:
        return None
    found = upstream(prompt, [prompt[node]["inputs"].get(name) for name in inputs])
    return tuple(
        (source, prompt[source].get("class_type"), _key(prompt[source]["inputs"])) for source in sorted(found)
    )


def _stage_key(stage: Stage, size: Size) -> Hashable:
    prompts = _key(stage.positive), _key(stage.negative)
    low = _key(stage.low_noise)
    return _key(stage.model), _key(stage.settings), prompts, _key(stage.choice), stage.start_step, size, low


def _start_key(start: Start) -> Hashable:
    if isinstance(start, FromImage):
        return _key(start.source)
    samples: Hashable = _key(start.source)
    if start.is_empty:
        empty = start.latent["samples"]
        samples = tuple(empty.shape), str(empty.dtype), str(empty.layout)
    others = {name: value for name, value in start.latent.items() if name != "samples"}
    return samples, _key(others)


def _key(value: Any) -> Hashable:
    """A value as a part of a key. Lists, dicts and settings go by what is in them."""
    if isinstance(value, dict):
        return tuple(
            (str(name), _key(part)) for name, part in sorted(value.items(), key=lambda item: str(item[0]))
        )
    if isinstance(value, list | tuple):
        return tuple(_key(part) for part in value)
    if value is None or isinstance(value, str | bytes | int | float | bool):
        return type(value).__name__, value
    # A region holds masks and an encoded prompt: it counts as one thing, so that no key keeps those alive.
    if dataclasses.is_dataclass(value) and type(value).__eq__ is not object.__eq__:
        return tuple(_key(getattr(value, field.name)) for field in dataclasses.fields(value))
    try:
        return Same(value)
    except TypeError:  # It has no weak references, so nobody can tell whether it is still the same.
        return object()


def _things(key: Hashable) -> Iterator[Same]:
    """The objects that a key goes by."""
    if isinstance(key, Same):
        yield key
    elif isinstance(key, tuple):
        for part in key:
            yield from _things(part)
