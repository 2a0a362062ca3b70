"""Attention as the branches of scale fusion call it, in chunks that bound the memory of temporaries."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""attend(q, k, v) -> out, each (batch, tokens, channels); heads are the callable's business."""


def chunked_attention(
    q: Tensor, k: Tensor, v: Tensor, attend: Attend, bytes_at_once: int, out: Tensor | None = None
) -> Tensor:
    """Full attention in chunks of queries. Exact for any bound, since queries do not see each other.

    Args:
        q, k, v: (b, n, c).
        bytes_at_once: bound of what one call of attend returns, but at least one query.
        out: (b, n, c), is overwritten with the result; None = a new tensor.

    Returns: (b, n, c), which is `out` if that was given.
    """
    pieces = -(-q.nbytes // max(1, bytes_at_once))
    if pieces == 1 and out is None:
        return attend(q, k, v)
    out = torch.empty_like(q) if out is None else out
    for queries, place in zip(q.chunk(pieces, dim=1), out.chunk(pieces, dim=1), strict=True):
        place.copy_(attend(queries, k, v))
    return out


def in_chunks(items: Sequence[T], max_items: int) -> list[Sequence[T]]:
    """As few groups of at most `max_items` items, or of one, as will do; all of them nearly equally large."""
    count = -(-len(items) // max(1, max_items))
    ends = [len(items) * i // count for i in range(count + 1)]
    return [items[first:end] for first, end in pairwise(ends)]
