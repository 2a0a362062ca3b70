"""What docs/TRANSFORMERS.md says a layer costs with rectified positions and with neighbourhoods, counted on
tensors without data."""

import re
from pathlib import Path

import pytest
import torch

from freescale_core.geometry import Size
from freescale_core.planning.cost import attention_operations, neighbourhood_pairs
from freescale_core.rope.limits import limits
from freescale_core.rope.local_attention import Neighbourhoods, local_attention
from freescale_core.rope.rectified_attention import RectifiedAxis, Tiling, TokenPlaces, rectified_attention
from freescale_core.settings import RopeSettings

PAGE = Path(__file__).parents[3] / "docs" / "TRANSFORMERS.md"
META = torch.device("meta")
CHANNELS, BYTES = 128, 2
"""Of a head, and of a number in bf16."""
FLOPS, BYTES_A_SECOND = 800e12, 3.35e12
"""The speeds in the table's head."""


def placed(grid: Size, frames: int, text: int) -> TokenPlaces:
    at = torch.arange(grid.height * grid.width).repeat(frames)
    rows, columns = (
        torch.cat([torch.zeros(text, dtype=torch.int64), places])
        for places in (at // grid.width, at % grid.width)
    )
    return TokenPlaces(rows, columns, grid, range(text, len(rows)))


def tokens_of(places: TokenPlaces, heads: int) -> torch.Tensor:
    return torch.empty(1, heads, len(places.rows), CHANNELS, device=META, dtype=torch.bfloat16)


def counted(
    base: Size, grid: Size, frames: int, text: int, heads: int, dims: int
) -> tuple[int, int, int, int]:
    """Tokens, tiles, operations of attention, and bytes read and written to turn keys, of one layer.

    base, grid: (h, w) in tokens. dims: channels of a head that y turns, and as many x.
    """
    found = limits(RopeSettings("rectified"), base)
    y, x = (
        RectifiedAxis(length, tile, most, threshold, first, dims, (1.0,) * (dims // 2))
        for length, tile, most, threshold, first in zip(
            grid, found.tile, found.max_relative, found.threshold, (0, dims), strict=True
        )
    )
    places = placed(grid, frames, text)
    operations, moved = [], []

    def attend(q, k, v, mask):
        operations.append(4 * q.numel() * k.shape[2])
        return q.new_empty(q.shape[0], q.shape[2], q.shape[1] * v.shape[3])

    def turn(keys, rotation):
        moved.append(2 * BYTES * keys.numel())
        return keys

    q = tokens_of(places, heads)
    rectified_attention(q, q, q, Tiling.of(places, y, x, META), attend, turn=turn)
    return q.shape[2], len(operations), sum(operations), sum(moved)


def counted_near(base: Size, grid: Size, frames: int, text: int, heads: int) -> tuple[int, int, int]:
    """Patches, operations of attention, and bytes read and written to gather q, k and v, of one layer."""
    places = placed(grid, frames, text)
    operations, moved = [], []

    def attend(q, k, v, mask):
        operations.append(4 * q.numel() * k.shape[2])
        moved.append(2 * BYTES * (q.numel() + 2 * (k.numel() if k.shape[2] < len(places.rows) else 0)))
        return q.new_empty(q.shape[0], q.shape[2], q.shape[1] * v.shape[3])

    q = tokens_of(places, heads)
    near = Neighbourhoods.of(places, base, META)
    local_attention(q, q, q, near, attend)
    return len(near.patches) - bool(text), sum(operations), sum(moved)


CASES = pytest.mark.parametrize(
    ("name", "case"),
    [
        ("FLUX.1 at 4096 x 4096", (Size(64, 64), Size(256, 256), 1, 512, 24, 56)),
        ("Wan 14B, 81 frames at 2560 x 1440", (Size(45, 80), Size(90, 160), 21, 0, 40, 42)),
    ],
)


def row_of(name: str, table: int) -> list[str]:
    """The cells of a row by its name, in the first table that has it or the next."""
    rows = re.findall(rf"^\| {re.escape(name)} \|(.*)\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [cell.strip() for cell in rows[table].split("|")]


@CASES
def test_the_table_is_what_is_counted(name, case):
    tokens, tiles, operations, moved, times = row_of(name, 0)
    got = counted(*case)
    assert got[2] == attention_operations(got[0] ** 2, case[4] * CHANNELS)
    assert (int(tokens.replace(" ", "")), int(tiles)) == got[:2]
    assert operations == f"{got[2]:.1e}".replace("e+", "e")
    assert moved == f"{got[3] / 1e9:.0f} GB"
    seconds = got[2] / FLOPS, got[3] / BYTES_A_SECOND
    assert times == " and ".join(f"{s:.1f} s" if s >= 1 else f"{1000 * s:.0f} ms" for s in seconds)


@CASES
def test_the_table_of_neighbourhoods_is_what_is_counted(name, case):
    base, grid, frames, text, heads, _ = case
    patches, operations, moved, share = row_of(name, 1)
    got = counted_near(base, grid, frames, text, heads)
    pairs = neighbourhood_pairs(grid, base, frames, text)
    assert got[1] == attention_operations(pairs, heads * CHANNELS)
    assert int(patches) == got[0]
    assert operations == f"{got[1]:.1e}".replace("e+", "e")
    assert moved == f"{got[2] / 1e9:.0f} GB"
    tokens = frames * grid.area + text
    assert share == f"{tokens**2 / pairs:.1f} times less"
