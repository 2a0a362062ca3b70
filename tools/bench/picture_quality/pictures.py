"""Pictures that are loaded when they are looked at: a table has more of them than fit in memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Pictures:
    """A sequence of (1, 3, h, w) in 0..1. sources: each makes one picture, uint8 RGB (h, w, 3)."""

    sources: Sequence[Callable[[], np.ndarray]]

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> Tensor:
        if index >= len(self.sources):
            raise IndexError(index)  # how a for loop finds the end
        return as_tensor(self.sources[index]())


def as_tensor(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
