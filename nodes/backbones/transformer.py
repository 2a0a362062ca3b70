"""Transformers with rotary positions (FLUX, Chroma, Qwen-Image, Lumina 2, Z-Image, Wan): where their tokens
stand, and how their positions are turned.

Known by structure alone: an embedder of ComfyUI's own type, and token ids in which the image is found.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from comfy.ldm.flux.layers import EmbedND
from comfy.ldm.flux.math import rope
from torch import Tensor

from ...freescale_core.geometry import Size
from ...freescale_core.rope.rectified_attention import TokenPlaces

EMBEDDER_NAMES = ("pe_embedder", "rope_embedder")
Y, X = 1, 2
"""The axes of token ids on which an image lies."""
ID_ROUNDING = 2**-7
"""Of an id: some models hold them in bfloat16."""


def embedder_name(network: Any) -> str | None:
    """The attribute of a network that turns token ids into rotations over y and x; None = there is none."""
    for name in EMBEDDER_NAMES:
        embedder = getattr(network, name, None)
        if isinstance(embedder, EmbedND) and len(embedder.axes_dim) > X:
            return name
    return None


def patch_of(network: Any) -> Size:
    """Latent cells (h, w) that one token covers; 1 x 1 where the network does not say."""
    patch = getattr(network, "patch_size", 1)
    return Size(patch, patch) if isinstance(patch, int) else Size(*tuple(patch)[-2:])


def grid_of(cells: Size, network: Any) -> Size:
    """Tokens (h, w) of a latent of `cells`; what does not fill a token is padded."""
    patch = patch_of(network)
    return Size(-(-cells.height // patch.height), -(-cells.width // patch.width))


class NotedIds:
    """The token ids of one model call, as its embedder got them, and the places of an attention's tokens.

    grid: tokens (h, w) of the image, or of each of a video's `frames`.
    """

    def __init__(self, grid: Size, frames: int = 1) -> None:
        self._grid, self._frames = grid, frames
        self._ids: list[np.ndarray] = []
        self._places: dict[int, TokenPlaces | None] = {}

    @property
    def area(self) -> int:
        """The image's tokens."""
        return self._grid.area

    def note(self, ids: Tensor) -> None:
        """ids: (b, n, axes). All rows of a batch are alike."""
        self._ids.append(ids[0].float().cpu().numpy())
        self._places.clear()

    def places(self, tokens: int) -> TokenPlaces | None:
        """Where the tokens of a self-attention stand; None = there is no image among them, or no single one.

        A model embeds all its tokens at once, or text and image apart. Its layers attend over all of them,
        or over one kind.
        """
        if tokens not in self._places:
            self._places[tokens] = self._find(tokens)
        return self._places[tokens]

    def _find(self, tokens: int) -> TokenPlaces | None:
        if not self._ids:
            return None
        joined = np.concatenate(self._ids)
        candidates = [ids for ids in self._ids if len(ids) == tokens]
        if len(joined) == tokens:
            candidates = [joined]
        elif not candidates and len(joined) > tokens and self._first(joined) == len(joined) - tokens:
            candidates = [joined[-tokens:]]  # The image alone, of ids that were embedded with the text.
        found = [self._placed(ids) for ids in candidates]
        return found[0] if len(found) == 1 else None

    def _placed(self, ids: np.ndarray) -> TokenPlaces | None:
        """Tokens that are not the image's stand where they are nearest to its grid."""
        first = self._first(ids)
        if first is None:
            return None
        rows, columns = (
            torch.from_numpy(np.rint(ids[:, axis] - ids[first, axis])).long().clamp_(0, length - 1)
            for axis, length in zip((Y, X), self._grid, strict=True)
        )
        image = torch.arange(self._grid.area)
        block = slice(first, first + self._grid.area)
        rows[block], columns[block] = image // self._grid.width, image % self._grid.width
        return TokenPlaces(rows, columns, self._grid, self._image(first, rows, columns))

    def _image(self, first: int, rows: Tensor, columns: Tensor) -> range:
        """All frames, if their tokens lie one after the other; else those of the first."""
        area, count = self._grid.area, self._grid.area * self._frames
        inside = slice(first, first + count)
        alike = all(
            axis[inside].shape[0] == count
            and (axis[inside].view(-1, area) == axis[first : first + area]).all()
            for axis in (rows, columns)
        )
        return range(first, first + (count if alike else area))

    def _first(self, ids: np.ndarray) -> int | None:
        """The row of the image's first token: where y and x count up over its whole grid."""
        area = self._grid.area
        numbers = np.arange(area)
        wanted = np.stack([numbers // self._grid.width, numbers % self._grid.width], axis=1)
        steps = np.diff(ids, axis=0)
        one_on = np.zeros(ids.shape[1])
        one_on[X if self._grid.width > 1 else Y] = 1
        for first in np.flatnonzero((steps == one_on).all(axis=1)).tolist():
            block = ids[first : first + area]
            if len(block) < area:
                return None
            off = np.abs(block[:, Y : X + 1] - block[0, Y : X + 1] - wanted)
            allowed = ID_ROUNDING * np.abs(block[:, Y : X + 1]).max(axis=0)
            if (off <= allowed).all() and (block[:, :Y] == block[0, :Y]).all():
                return int(first)
        return None


@contextmanager
def embedded_by(embedder: Any, forward: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Inside the block the embedder computes forward(ids) instead of its own.

    The module gets its own method back whatever happens inside, as it is shared by all runs.
    """
    had_one, before = "forward" in embedder.__dict__, embedder.__dict__.get("forward")
    embedder.__dict__["forward"] = forward
    try:
        yield
    finally:
        if had_one:
            embedder.__dict__["forward"] = before
        else:
            embedder.__dict__.pop("forward", None)


def noting(embedder: Any, noted: NotedIds, factors: Sequence[float] = ()) -> Callable[[Tensor], Tensor]:
    """A forward for `embedded_by` that notes the ids, and multiplies theta with a factor per axis.

    factors: of the axes; none = theta stays as it is, to the bit.
    """
    original = embedder.forward

    def forward(ids: Tensor) -> Tensor:
        noted.note(ids)
        if not factors:
            return original(ids)
        turned = [
            rope(ids[..., axis], dims, embedder.theta * factor)
            for axis, (dims, factor) in enumerate(zip(embedder.axes_dim, factors, strict=True))
        ]
        return torch.cat(turned, dim=-3).unsqueeze(1)

    return forward
