"""How many bytes of tensors are alive: of real tensors, and of meta tensors that stand for a GPU's."""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Inside the block: `now` and `peak` count the storages that were made inside it and are still alive.

    Views count once, what was there before not at all. Scratch memory that a kernel takes and returns by
    itself is not seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now, self.peak = 0, 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for tensor in _tensors((args, kwargs)):
            self._watch(tensor, 0)
        out = func(*args, **(kwargs or {}))
        for tensor in _tensors(out):
            self._watch(tensor, tensor.untyped_storage().nbytes())
        return out

    def _watch(self, tensor: torch.Tensor, size: int) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._seen:
            self._seen.add(storage._cdata)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._freed, storage._cdata, size)

    def _freed(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size


def live_peak(call: Callable[[], Any]) -> int:
    """Most bytes alive at once inside call(), beyond what was alive before."""
    with LiveBytes() as live:
        call()
    return live.peak


def allocator_peak(call: Callable[[], Any]) -> int:
    """The same from the CPU allocator's own events, scratch memory of the kernels included."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        call()
    now, peak = 0, 0
    events = _allocations(profiled.profiler.kineto_results.experimental_event_tree())
    for event in sorted(events, key=lambda event: event.start_time_ns):
        now += event.extra_fields.alloc_size  # negative when memory is given back
        peak = max(peak, now)
    return peak


def _allocations(events: Any) -> list[Any]:
    found = [event for event in events if event.tag.name == "Allocation"]
    return found + [inner for event in events for inner in _allocations(event.children)]


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]
