"""Full attention a few queries at a time, so that what lies beside the output stays small."""

import torch
from torch import Tensor

from .window_attention import Attend


def chunked_attention(q: Tensor, k: Tensor, v: Tensor, attend: Attend, bytes_at_once: int, out: Tensor | None = None) -> Tensor:
    """attend(q, k, v). Exact for any bound, since queries do not see each other.

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
