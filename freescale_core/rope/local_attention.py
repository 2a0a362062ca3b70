"""Attention of transformers in neighbourhoods: patches of queries, over the image tokens around them and all
that is not image (after ScaleDiff's neighbourhood patch attention)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..attention.neighbourhoods import neighbourhoods
from ..attention.windows import Window
from ..geometry import Size
from .rectified_attention import Attend, TokenPlaces, head_groups


@dataclass(frozen=True)
class Neighbourhoods:
    """What all layers of a model call share: which tokens attend to which.

    patches: (queries, keys) as numbers of tokens, int64; keys None = all. The first has the queries that are
    not image, if there are any.
    """

    patches: tuple[tuple[Tensor, Tensor | None], ...]
    covers_all: bool

    @classmethod
    def of(cls, places: TokenPlaces, base: Size, device: torch.device) -> "Neighbourhoods":
        """base: the training size in tokens, which is the size of a neighbourhood.

        Frames of a video stay together: a patch and its neighbourhood have the same place in all of them.
        """
        grid, tokens = places.grid, torch.arange(len(places.rows))
        window = Size(*(min(side, length) for side, length in zip(base, grid, strict=True)))
        inside = slice(places.image.start, places.image.stop)
        image = tokens[inside].view(-1, *grid)
        others = torch.cat([tokens[: inside.start], tokens[inside.stop :]])
        patches: list[tuple[Tensor, Tensor | None]] = [(others.to(device), None)] if len(others) else []
        for queries, keys in neighbourhoods(grid, window):
            near = torch.cat([others, _within(image, keys)])
            patches.append((_within(image, queries).to(device), near.to(device)))
        return cls(tuple(patches), covers_all=window == grid)


def _within(image: Tensor, window: Window) -> Tensor:
    """The tokens (frames, h, w) of a window, in order."""
    return image[:, window.top : window.bottom, window.left : window.right].flatten()


def local_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    near: Neighbourhoods,
    attend: Attend,
    mask: Tensor | None = None,
    bytes_at_once: int | None = None,
) -> Tensor:
    """Attend from each patch of queries to its neighbourhood, and from all other queries to all keys.

    Nothing is turned: no image token is farther from a query than in training.

    Args:
        q, k, v: (b, heads, n, channels), turned by the model. k and v may have fewer heads.
        mask: anything that attend takes; its axes of queries and keys, where they have n tokens, are the last
            but one and the last.
        bytes_at_once: bound of the temporaries, kept by attending with some heads at a time, but at least
            with one; None = all heads.

    Returns: (b, n, heads * channels). A token that two patches have gets the result of the later one.
    """
    out = q.new_empty(q.shape[0], q.shape[2], q.shape[1] * v.shape[3])
    for heads, shared in head_groups(q, k, _bytes_a_head(q, k, near), bytes_at_once):
        channels = slice(heads.start * v.shape[3], heads.stop * v.shape[3])
        for queries, keys in near.patches:
            part = attend(
                q[:, heads].index_select(2, queries),
                _chosen(k[:, shared], keys),
                _chosen(v[:, shared], keys),
                _part_of(mask, q.shape[2], queries, keys),
            )
            out[..., channels].index_copy_(1, queries, part.to(out.dtype))
    return out


def _bytes_a_head(q: Tensor, k: Tensor, near: Neighbourhoods) -> int:
    """Temporaries of the largest patch: queries and results, keys and values."""
    shared = q.shape[1] // k.shape[1]
    tokens = max(len(queries) * shared + (0 if keys is None else len(keys)) for queries, keys in near.patches)
    return 2 * tokens * k[:, 0, :1].nbytes


def _chosen(tokens: Tensor, numbers: Tensor | None) -> Tensor:
    return tokens if numbers is None else tokens.index_select(2, numbers)


def _part_of(mask: Tensor | None, tokens: int, queries: Tensor, keys: Tensor | None) -> Tensor | None:
    """The rows and columns of a patch; axes of one token count for all."""
    if mask is None:
        return None
    if keys is not None and mask.shape[-1] == tokens:
        mask = mask.index_select(-1, keys)
    if mask.ndim > 1 and mask.shape[-2] == tokens > 1:
        mask = mask.index_select(-2, queries)
    return mask
