"""Gives the numbers of AR-RoPE that settings leave open, in CineScale's proportions to the training size."""

from dataclasses import dataclass

from ..geometry import Size
from ..settings import RopeSettings

TILE_SHARE, THRESHOLD_SHARE = 0.4, 0.2
"""Of the training size: 18 x 32 and 9 x 16 of 45 x 80 tokens (CineScale, Wan at 1280 x 720)."""


@dataclass(frozen=True)
class Limits:
    """(h, w) in tokens each; see `settings.RopeSettings`."""

    tile: Size
    threshold: Size
    max_relative: Size


def limits(settings: RopeSettings, base: Size) -> Limits:
    """The limits for a training size `base` (tokens).

    Raises:
        ValueError: a tile is longer than the largest distance allows.

    >>> limits(RopeSettings("rectified"), Size(45, 80)).tile
    Size(height=18, width=32)
    """
    found = Limits(
        settings.tile or _share(base, TILE_SHARE, 1),
        settings.threshold or _share(base, THRESHOLD_SHARE, 0),
        settings.max_relative or Size(max(1, base.height - 1), max(1, base.width - 1)),
    )
    if any(tile > most + 1 for tile, most in zip(found.tile, found.max_relative, strict=True)):
        raise ValueError(
            f"FreeScale RoPE: expected a tile of at most {found.max_relative} + 1 tokens, got {found.tile}: "
            "choose a smaller tile or a larger max_relative"
        )
    return found


def _share(base: Size, share: float, least: int) -> Size:
    return Size(max(least, round(share * base.height)), max(least, round(share * base.width)))
