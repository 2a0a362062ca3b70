"""What docs/TRANSFORMERS.md says a layer with rectified positions costs, counted on tensors without data."""

import re
from pathlib import Path

import pytest
import torch

from freescale_core.geometry import Size
from freescale_core.planning.cost import attention_operations
from freescale_core.rope.limits import limits
from freescale_core.rope.rectified_attention import RectifiedAxis, Tiling, TokenPlaces, rectified_attention
from freescale_core.settings import RopeSettings

PAGE = Path(__file__).parents[3] / "docs" / "TRANSFORMERS.md"
META = torch.device("meta")
CHANNELS, BYTES = 128, 2
"""Of a head, and of a number in bf16."""
FLOPS, BYTES_A_SECOND = 800e12, 3.35e12
"""The speeds in the table's head."""


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
    at = torch.arange(grid.height * grid.width).repeat(frames)
    rows, columns = (
        torch.cat([torch.zeros(text, dtype=torch.int64), places])
        for places in (at // grid.width, at % grid.width)
    )
    operations, moved = [], []

    def attend(q, k, v, mask):
        operations.append(4 * q.numel() * k.shape[2])
        return q.new_empty(q.shape[0], q.shape[2], q.shape[1] * v.shape[3])

    def turn(keys, rotation):
        moved.append(2 * BYTES * keys.numel())
        return keys

    q = torch.empty(1, heads, len(rows), CHANNELS, device=META, dtype=torch.bfloat16)
    tiling = Tiling.of(TokenPlaces(rows, columns, grid), y, x, META)
    rectified_attention(q, q, q, tiling, attend, turn=turn)
    return len(rows), len(operations), sum(operations), sum(moved)


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("FLUX.1 at 4096 x 4096", (Size(64, 64), Size(256, 256), 1, 512, 24, 56)),
        ("Wan 14B, 81 frames at 2560 x 1440", (Size(45, 80), Size(90, 160), 21, 0, 40, 42)),
    ],
)
def test_the_table_is_what_is_counted(name, case):
    (cells,) = re.findall(rf"^\| {re.escape(name)} \|(.*)\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    tokens, tiles, operations, moved, times = (cell.strip() for cell in cells.split("|"))
    got = counted(*case)
    assert got[2] == attention_operations(got[0] ** 2, case[4] * CHANNELS)
    assert (int(tokens.replace(" ", "")), int(tiles)) == got[:2]
    assert operations == f"{got[2]:.1e}".replace("e+", "e")
    assert moved == f"{got[3] / 1e9:.0f} GB"
    seconds = got[2] / FLOPS, got[3] / BYTES_A_SECOND
    assert times == " and ".join(f"{s:.1f} s" if s >= 1 else f"{1000 * s:.0f} ms" for s in seconds)
