"""The fast global branch of scale fusion: attention inside strided sub-grids (the release's fast mode)."""

import torch
from einops import rearrange
from torch import Tensor

from .geometry import Size
from .window_attention import Attend


def strided_attention(q: Tensor, k: Tensor, v: Tensor, grid: Size, strides: Size, attend: Attend, out: Tensor | None = None) -> Tensor:
    """Attend inside each of the s_h * s_w sub-grids x[a::s_h, b::s_w]; costs 1 / (s_h * s_w) of full attention.

    Args:
        q, k, v: (b, h*w, c). grid: h, w in tokens. strides: s_h, s_w. Sub-grids may differ in size by one.
        out: (b, h*w, c), is overwritten with the result; None = a new tensor.

    Returns: (b, h*w, c), which is `out` if that was given.
    """
    out = torch.empty_like(v) if out is None else out
    q, k, v, places = (rearrange(x, "b (h w) c -> b h w c", h=grid.height) for x in (q, k, v, out))
    for a in range(strides.height):
        for b in range(strides.width):
            part = (slice(None), slice(a, None, strides.height), slice(b, None, strides.width))
            tokens = (rearrange(x[part], "b h w c -> b (h w) c") for x in (q, k, v))
            places[part] = rearrange(attend(*tokens), "b (h w) c -> b h w c", h=places[part].shape[1])
    return out
