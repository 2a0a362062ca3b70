"""Attention with rectified positions (AR-RoPE): tiles of queries, and keys turned for each tile."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ..attention.attend import in_chunks
from ..geometry import Size
from .frequencies import turned, turning
from .positions import rectified_positions, tiles

Attend = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
"""attend(q, k, v, mask) -> (b, queries, heads * channels); q, k and v are (b, heads, tokens, channels)."""
Turn = Callable[[Tensor, Tensor], Tensor]
"""turn(x, rotation) -> x rotated, as `frequencies.turned`."""
TURN_TENSORS = 4
"""float32 copies of one axis of the keys that turning them takes."""


@dataclass(frozen=True)
class RectifiedAxis:
    """One axis, y or x, in tokens.

    first, dims: the channels of a head that the axis turns. omegas: frequencies of their pairs, as the model
    turned them.
    """

    length: int
    tile: int
    max_relative: int
    threshold: int
    first: int
    dims: int
    omegas: tuple[float, ...]

    @property
    def channels(self) -> slice:
        return slice(self.first, self.first + self.dims)

    @property
    def tiles(self) -> list[tuple[int, int]]:
        return list(tiles(self.length, self.tile))

    def rotation(self, number: int, device: torch.device) -> Tensor | None:
        """(length, pairs, 2, 2): how far the keys of each position turn for a tile; None = none of them."""
        return _rotation(self, number, device)


@lru_cache(maxsize=512)
def _rotation(axis: RectifiedAxis, number: int, device: torch.device) -> Tensor | None:
    """Cached across runs, therefore created outside inference mode."""
    with torch.inference_mode(False):
        first, last = axis.tiles[number]
        moved = rectified_positions(axis.length, first, last, axis.max_relative, axis.threshold)
        moved -= torch.arange(axis.length)
        if not moved.any():
            return None
        return turning(moved, torch.tensor(axis.omegas, dtype=torch.float64), device)


@dataclass(frozen=True)
class TokenPlaces:
    """Where each of n tokens stands on the image's grid; text and references stand where they are nearest.

    rows, columns: (n,), int64. grid: (h, w) in tokens. image: numbers of the image's tokens, row by row; of a
    video's, frame by frame.
    """

    rows: Tensor
    columns: Tensor
    grid: Size
    image: range

    def by_tile(self, tile: Size) -> tuple[Tensor, list[int]]:
        """(n,) tokens ordered by their tile, row by row, and how many lie in each."""
        across = -(-self.grid.width // tile.width)
        number = self.rows // tile.height * across + self.columns // tile.width
        count = across * -(-self.grid.height // tile.height)
        return number.argsort(stable=True), torch.bincount(number, minlength=count).tolist()


@dataclass(frozen=True)
class Tiling:
    """What all layers of a model call share: both axes, and the tokens in the order of their tiles."""

    y: RectifiedAxis
    x: RectifiedAxis
    rows: Tensor
    columns: Tensor
    order: Tensor
    back: Tensor
    counts: Sequence[int]

    @classmethod
    def of(cls, places: TokenPlaces, y: RectifiedAxis, x: RectifiedAxis, device: torch.device) -> "Tiling":
        order, counts = places.by_tile(Size(y.tile, x.tile))
        rows, columns = places.rows.to(device), places.columns.to(device)
        return cls(y, x, rows, columns, order.to(device), order.argsort().to(device), counts)

    @property
    def is_identity(self) -> bool:
        """True where no key moves, so that plain attention gives the same."""
        return all(axis.length <= axis.max_relative + 1 for axis in (self.y, self.x))


def rectified_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    tiling: Tiling,
    attend: Attend,
    mask: Tensor | None = None,
    bytes_at_once: int | None = None,
    turn: Turn = turned,
) -> Tensor:
    """Attend from each tile of queries to all keys, which are turned to the positions the tile gives them.

    A key turned to p is turned on by (p' - p) omega to look as if it stood at p'. y is turned once for each
    row of tiles and x once for each tile. Queries keep their positions, and nothing else changes: where no
    key moves, the result is that of plain attention.

    Args:
        q, k, v: (b, heads, n, channels), turned by the model. k and v may have fewer heads.
        mask: anything that attend takes; its axis of queries, if it has one, is the last but one.
        bytes_at_once: bound of the temporaries, kept by attending with some heads at a time, but at least
            with one; None = all heads.

    Returns: (b, n, heads * channels).
    """
    out = q.new_empty(q.shape[0], q.shape[2], q.shape[1] * v.shape[3])
    for heads, shared in head_groups(q, k, _bytes_a_head(q, k, tiling), bytes_at_once):
        channels = slice(heads.start * v.shape[3], heads.stop * v.shape[3])
        queries = q[:, heads].index_select(2, tiling.order)
        part = _attended(queries, k[:, shared].clone(), v[:, shared], tiling, attend, mask, turn)
        out[..., channels] = part.index_select(1, tiling.back)
    return out


def _attended(
    q: Tensor, k: Tensor, v: Tensor, tiling: Tiling, attend: Attend, mask: Tensor | None, turn: Turn
) -> Tensor:
    """Results of queries in the order of their tiles, (b, n, c). k is overwritten."""
    plain = {axis: k[..., axis.channels].clone() for axis in (tiling.y, tiling.x)}
    if mask is not None and mask.ndim > 1 and mask.shape[-2] == q.shape[2] > 1:
        mask = mask.index_select(-2, tiling.order)
    counts = iter(tiling.counts)
    parts, first = [], 0
    for row in range(len(tiling.y.tiles)):
        _turn_(k, plain[tiling.y], tiling.y, row, tiling.rows, turn)
        for column in range(len(tiling.x.tiles)):
            last = first + next(counts)
            _turn_(k, plain[tiling.x], tiling.x, column, tiling.columns, turn)
            parts.append(attend(q[:, :, first:last], k, v, _rows_of(mask, q.shape[2], first, last)))
            first = last
    return torch.cat(parts, dim=1)


def _turn_(k: Tensor, plain: Tensor, axis: RectifiedAxis, number: int, places: Tensor, turn: Turn) -> None:
    """Write the keys as one tile sees them along one axis into k. plain: as the model turned them."""
    rotation = axis.rotation(number, k.device)
    k[..., axis.channels] = plain if rotation is None else turn(plain, rotation.index_select(0, places))


def _rows_of(mask: Tensor | None, tokens: int, first: int, last: int) -> Tensor | None:
    if mask is None or mask.ndim < 2 or mask.shape[-2] != tokens or tokens == 1:
        return mask
    return mask[..., first:last, :]


def _bytes_a_head(q: Tensor, k: Tensor, tiling: Tiling) -> float:
    """Temporaries for one head of k and those of q that share it."""
    shared = q.shape[1] // k.shape[1]
    turning_share = TURN_TENSORS * max(tiling.y.dims, tiling.x.dims) / k.shape[3]
    return q[:, 0].nbytes * (2 * shared + 3 + turning_share * 4 / q.itemsize)


def head_groups(
    q: Tensor, k: Tensor, bytes_a_head: float, bytes_at_once: int | None
) -> list[tuple[slice, slice]]:
    """(heads of q, heads of k) of as few groups as keep the temporaries within the bound.

    bytes_a_head: temporaries for one head of k and those of q that share it. bytes_at_once: the bound; None =
    there is none.
    """
    shared = q.shape[1] // k.shape[1]
    most = k.shape[1] if bytes_at_once is None else int(bytes_at_once // bytes_a_head)
    groups = in_chunks(range(k.shape[1]), most)
    return [
        (slice(some[0] * shared, (some[-1] + 1) * shared), slice(some[0], some[-1] + 1)) for some in groups
    ]
