"""How many kernels a call would launch on a GPU: every operation that is no view, counted by PyTorch's
dispatcher."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

FREE = (
    "empty",
    "empty_like",
    "empty_strided",
    "new_empty",
    "new_empty_strided",
    "detach",
    "_unsafe_view",
    "lift_fresh",
    "set_",
)
"""Operations that launch nothing, though they return no view."""


class Launches(TorchDispatchMode):
    """Inside the block: `counted` says how often each operation ran."""

    def __init__(self) -> None:
        super().__init__()
        self.counted: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name not in FREE and not _is_view(func):
            self.counted[name] += 1
        return func(*args, **(kwargs or {}))


def _is_view(func: Any) -> bool:
    """Whether an operation returns its input's own memory without writing to it."""
    aliases = [returned.alias_info for returned in func._schema.returns]
    return any(alias is not None and not alias.is_write for alias in aliases)


def launches(call: Callable[[], Any]) -> Counter[str]:
    """Operations of one call, after one that makes the small tables."""
    call()
    with Launches() as counting:
        call()
    return counting.counted
