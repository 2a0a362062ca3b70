"""Gives the rectified positions of AR-RoPE along one axis: |key - query| stays within the training size."""

from collections.abc import Iterator

import torch
from torch import Tensor


def tiles(length: int, tile: int) -> Iterator[tuple[int, int]]:
    """(first, last) of each tile of queries along an axis; the last one may be shorter.

    >>> list(tiles(5, 2))
    [(0, 1), (2, 3), (4, 4)]
    """
    for first in range(0, length, tile):
        yield first, min(first + tile, length) - 1


def rectified_positions(length: int, first: int, last: int, max_relative: int, threshold: int) -> Tensor:
    """The position that each key of an axis takes while the queries `first` to `last` attend.

    Keys within `threshold` of the tile keep theirs. Those beyond are squeezed, so that every key lies within
    `max_relative` of every query. Axes of up to max_relative + 1 tokens stay as they are.

    Args:
        length: tokens of the axis. first, last: of the tile, both included.
        max_relative: largest distance that the model knows, in tokens: its training size - 1.

    Returns: (length,), int64, ascending.

    Raises:
        ValueError: the tile is longer than max_relative + 1.
    """
    spare = max_relative - (last - first)
    if spare < 0:
        raise ValueError(
            f"FreeScale RoPE: expected a tile of at most {max_relative + 1} tokens, got {last - first + 1}: "
            "choose a smaller tile or a larger max_relative"
        )
    # How far the axis reaches after squeezing, and the keys that keep their place.
    lowest, highest = max(0, last - max_relative), min(length - 1, first + max_relative)
    left = first - min(threshold, first, spare)
    right = last + min(threshold, length - 1 - last, spare)
    keys = torch.arange(length)
    rectified = keys.float()
    if left > 0 and lowest > 0:
        before = keys < left
        rectified[before] = lowest + keys[before] / left * (left - lowest)
    if highest < length - 1:
        after = keys > right
        rectified[after] = right + (keys[after] - right) / (length - 1 - right) * (highest - right)
    return rectified.round().clamp(0, length - 1).long()
