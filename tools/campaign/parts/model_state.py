"""What a run could leave changed: the model, its options, global generators, live tensors."""

import gc
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import comfy.sample
import numpy as np
import torch


class ModelState:
    """A MODEL and the shared network in it, as they are when this is made."""

    def __init__(self, model):
        self._model = model
        self._weights = {name: weight.clone() for name, weight in _tensors(model)}
        self._rest = _rest(model)

    def changes(self):
        """What is different now, in words."""
        changed = [name for name, now in _rest(self._model).items() if now != self._rest[name]]
        now = dict(_tensors(self._model))
        if now.keys() != self._weights.keys() or any(
            not torch.equal(now[name], weight) for name, weight in self._weights.items()
        ):
            changed.append("weights")
        return changed


def _tensors(model):
    yield from model.model.state_dict(keep_vars=True).items()


def _rest(model):
    modules = dict(model.model.named_modules())
    return {
        "convolutions": {
            path: (m.dilation, m.padding, m.stride, tuple(m._reversed_padding_repeated_twice))
            for path, m in modules.items()
            if isinstance(m, torch.nn.modules.conv._ConvNd)
        },
        "attributes of modules": {path: sorted(m.__dict__) for path, m in modules.items()},
        "forward methods": {path: id(m.__dict__.get("forward")) for path, m in modules.items()},
        "hooks": {path: (len(m._forward_hooks), len(m._forward_pre_hooks)) for path, m in modules.items()},
        "model options": repr(model.model_options),
        "wrappers": repr(model.wrappers),
        "callbacks": repr(model.callbacks),
        "object patches": repr(sorted(model.object_patches)),
        "weight patches": repr(sorted(model.patches)),
    }


class Generators:
    """The global generators. ComfyUI's own prepare_noise seeds torch's, so what it leaves is allowed."""

    def __init__(self):
        self._random, self._numpy = random.getstate(), repr(np.random.get_state())
        self._torch = torch.get_rng_state()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Notes what prepare_noise leaves of torch's generator inside the block."""
        original = comfy.sample.prepare_noise

        def noted(*args, **kwargs):
            try:
                return original(*args, **kwargs)
            finally:
                self._torch = torch.get_rng_state()

        with mock.patch.object(comfy.sample, "prepare_noise", noted):
            yield

    def changes(self):
        """Which were moved by something else, in words."""
        same = {
            "Python's generator": random.getstate() == self._random,
            "numpy's generator": repr(np.random.get_state()) == self._numpy,
            "torch's generator": torch.equal(torch.get_rng_state(), self._torch),
        }
        return [name for name, is_same in same.items() if not is_same]


def live_tensors():
    """How many tensors there are, without those of the pack's small tables, which are kept on purpose."""
    for cached in _cached_functions():
        cached.cache_clear()
    gc.collect()
    # Not by isinstance, which asks some modules for attributes that warn.
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


def _cached_functions():
    for name, module in list(sys.modules.items()):
        if name.startswith("freescale_pack.freescale_core"):
            yield from (value for value in vars(module).values() if hasattr(value, "cache_clear"))
