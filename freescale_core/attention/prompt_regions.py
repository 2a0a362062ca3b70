"""Local semantic editing: regions of the cross-attention get a text of their own (paper, figure 5)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .attend import Attend


def regional_attention(
    q: Tensor, k: Tensor, v: Tensor, lengths: Sequence[int], weights: Sequence[Tensor], attend: Attend
) -> Tensor:
    """out <- out + weight * (attend(q, k_r, v_r) - out), region after region.

    A later region lies on top of those before it.

    Args:
        q: (b, h*w, c).
        k, v: (b, main tokens + sum(lengths), c): of the main text, then of each region's text.
        lengths: tokens of each region's text.
        weights: (b, h*w, 1) each, mask times strength. Exactly out at 0, exactly the region's attention at 1.
        attend: attend(q, k, v) -> out.

    Returns: (b, h*w, c).
    """
    parts = [k.shape[1] - sum(lengths), *lengths]
    (main_k, *region_k), (main_v, *region_v) = torch.split(k, parts, dim=1), torch.split(v, parts, dim=1)
    out = attend(q, main_k, main_v)
    for k_r, v_r, weight in zip(region_k, region_v, weights, strict=True):
        out = torch.lerp(out, attend(q, k_r, v_r), weight)
    return out
