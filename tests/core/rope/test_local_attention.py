"""Neighbourhoods of transformers against plain attention with a mask that hides what is too far."""

import pytest
import torch

from freescale_core.geometry import Size
from freescale_core.planning.cost import neighbourhood_pairs
from freescale_core.rope.local_attention import Neighbourhoods, local_attention
from freescale_core.rope.rectified_attention import TokenPlaces

GRID, BASE, CPU = Size(8, 12), Size(4, 6), torch.device("cpu")
TEXT, AFTER = 5, 3
"""Tokens before the image, such as text, and after it, such as references."""


def attend(q, k, v, mask):
    share = q.shape[1] // k.shape[1]
    k, v = (t.repeat_interleave(share, 1) for t in (k, v))
    out = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return out.transpose(1, 2).flatten(2)


def places(grid=GRID, frames=1, text=TEXT, after=AFTER):
    at = torch.arange(grid.area).repeat(frames)
    rows, columns = (
        torch.cat([torch.zeros(text), axis, torch.zeros(after)]).long()
        for axis in (at // grid.width, at % grid.width)
    )
    return TokenPlaces(rows, columns, grid, range(text, text + frames * grid.area))


def tokens(where, heads=2, key_heads=2):
    generator = torch.Generator().manual_seed(0)
    n = len(where.rows)
    q, k, v = (torch.randn(2, h, n, 16, generator=generator) for h in (heads, key_heads, key_heads))
    return 2.0 * q, k, v


def near_keys(position, length, window):
    """Keys of an axis that a query sees: its patch of half a window, and a quarter of one on each side."""
    patch = window // 2
    first = min(max(position // patch * patch - (window - patch) // 2, 0), length - window)
    return range(first, first + window)


def allowed(where, base=BASE):
    """(n, n): 0 where the query of a row sees the key of a column, else minus infinity."""
    n = len(where.rows)
    is_image = torch.tensor([token in where.image for token in range(n)])
    seen = torch.ones(n, n, dtype=torch.bool)
    for query in where.image:
        rows = near_keys(int(where.rows[query]), where.grid.height, base.height)
        columns = near_keys(int(where.columns[query]), where.grid.width, base.width)
        for key in where.image:
            seen[query, key] = int(where.rows[key]) in rows and int(where.columns[key]) in columns
    assert bool(seen[:, ~is_image].all()) and not bool(seen[is_image][:, is_image].all())
    return torch.zeros(n, n).masked_fill(~seen, -torch.inf)


def error(got, wanted):
    return float((got - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("bytes_at_once", [None, 1])
@pytest.mark.parametrize(("heads", "key_heads"), [(2, 2), (4, 2)])
@pytest.mark.parametrize(("frames", "text", "after"), [(1, TEXT, AFTER), (1, 0, 0), (3, 0, 0)])
def test_it_is_plain_attention_with_far_image_tokens_hidden(
    bytes_at_once, heads, key_heads, frames, text, after
):
    where = places(frames=frames, text=text, after=after)
    q, k, v = tokens(where, heads, key_heads)
    near = Neighbourhoods.of(where, BASE, CPU)
    got = local_attention(q, k, v, near, attend, None, bytes_at_once)
    assert error(got, attend(q, k, v, allowed(where))) < 1e-6
    assert error(got, attend(q, k, v, None)) > 0.05


@pytest.mark.parametrize("base", [GRID, Size(20, 20)])
def test_a_neighbourhood_of_everything_is_plain_attention(base):
    where = places()
    near = Neighbourhoods.of(where, base, CPU)
    q, k, v = tokens(where)
    assert near.covers_all
    assert error(local_attention(q, k, v, near, attend), attend(q, k, v, None)) < 1e-6
    assert not Neighbourhoods.of(where, Size(GRID.height, GRID.width - 1), CPU).covers_all


def test_what_is_not_image_is_always_a_key_and_far_image_tokens_never_are():
    where = places()
    q, k, v = tokens(where)
    near = Neighbourhoods.of(where, BASE, CPU)
    before = local_attention(q, k, v, near, attend)
    for token in (0, TEXT - 1, len(where.rows) - 1, where.image[0]):
        changed = v.clone()
        changed[:, :, token] += 1.0
        moved = (local_attention(q, k, changed, near, attend) != before).any(2).any(0)
        if token not in where.image:
            assert bool(moved.all())
            continue
        corner = (where.rows < BASE.height) & (where.columns < BASE.width)
        assert bool(moved[:TEXT].all())
        assert not bool(moved[TEXT:-AFTER][~corner[TEXT:-AFTER]].any())
        assert bool(moved[token])


@pytest.mark.parametrize("rows", [1, GRID.area + TEXT + AFTER])
def test_a_mask_goes_with_its_queries_and_keys(rows):
    where = places()
    q, k, v = tokens(where)
    mask = torch.randn(2, 1, rows, len(where.rows), generator=torch.Generator().manual_seed(4))
    got = local_attention(q, k, v, Neighbourhoods.of(where, BASE, CPU), attend, mask)
    assert error(got, attend(q, k, v, mask + allowed(where))) < 1e-6


def test_a_small_bound_attends_with_one_head_at_a_time():
    where, heads = places(), []
    q, k, v = tokens(where, 4, 4)

    def counted(q, k, v, mask):
        heads.append((q.shape[1], k.shape[1]))
        return attend(q, k, v, mask)

    local_attention(q, k, v, Neighbourhoods.of(where, BASE, CPU), counted, None, 1)
    assert set(heads) == {(1, 1)}


@pytest.mark.parametrize("grid", [Size(7, 11), Size(9, 13), Size(5, 40)])
def test_grids_that_no_patch_divides_give_every_token_a_result(grid):
    where = places(grid, frames=2)
    q, k, v = tokens(where)
    pairs = []

    def counted(q, k, v, mask):
        pairs.append(q.shape[2] * k.shape[2])
        return attend(q, k, v, mask)

    near = Neighbourhoods.of(where, BASE, CPU)
    got = local_attention(q, k, v, near, counted)
    assert got.isfinite().all()
    assert set(torch.cat([queries for queries, _ in near.patches]).tolist()) == set(range(len(where.rows)))
    assert sum(pairs) == neighbourhood_pairs(grid, BASE, frames=2, text=TEXT + AFTER)
