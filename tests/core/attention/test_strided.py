"""The fast global branch: attention inside strided sub-grids."""

from itertools import product

import pytest
import torch
from operations import identity, softmax_attention, tokens

from freescale_core.attention.strided import strided_attention
from freescale_core.geometry import Size


@pytest.mark.parametrize(("grid", "strides"), [((8, 8), (2, 2)), ((9, 7), (2, 3)), ((8, 6), (4, 1))])
def test_strided_attention_of_identity_gives_the_tokens_back(grid, strides):
    x = tokens(grid)
    assert torch.equal(strided_attention(x, x, x, Size(*grid), Size(*strides), identity), x)
    out = torch.zeros_like(x)
    assert strided_attention(x, x, x, Size(*grid), Size(*strides), identity, out) is out
    assert torch.equal(out, x)


def test_strided_attention_mixes_only_tokens_of_one_sub_grid():
    x = torch.arange(16.0).reshape(1, 16, 1)
    mean = strided_attention(
        x, x, x, Size(4, 4), Size(2, 2), lambda q, k, v: v.mean(1, keepdim=True).expand_as(v)
    )
    assert mean.reshape(4, 4)[:2, :2].flatten().tolist() == [5.0, 6.0, 9.0, 10.0]
    assert torch.equal(mean.reshape(4, 4)[:2, :2], mean.reshape(4, 4)[2:, 2:])


@pytest.mark.parametrize("parts", [0, 1, 2, 3, 5, 6, None])
@pytest.mark.parametrize(("grid", "strides"), [((8, 9), (2, 3)), ((7, 11), (2, 3)), ((5, 4), (3, 2))])
def test_sub_grids_of_one_size_go_together_as_far_as_the_bound_lets_them(grid, strides, parts):
    """Each is attended by itself: some have a row or a column more.

    Of q, k and v that are a slice of something wider.
    """
    q, k, v = (tokens(grid, 12).chunk(3, dim=2)[i] for i in range(3))
    images, expected, seen = [x.unflatten(1, grid) for x in (q, k, v)], torch.empty(2, *grid, 4), []
    for a, b in product(range(strides[0]), range(strides[1])):
        part = [x[:, a :: strides[0], b :: strides[1]].flatten(1, 2) for x in images]
        expected[:, a :: strides[0], b :: strides[1]] = softmax_attention(*part).view(
            2, *images[0][:, a :: strides[0], b :: strides[1]].shape[1:]
        )

    def attend(*some):
        seen.append(len(some[0]) // 2)
        return softmax_attention(*some)

    most = None if parts is None else parts * (4 * v.numel() * 4 // (strides[0] * strides[1])) + 1
    got = strided_attention(q, k, v, Size(*grid), Size(*strides), attend, bytes_at_once=most)
    assert torch.allclose(got, expected.flatten(1, 2), atol=1e-6)
    assert sum(seen) == strides[0] * strides[1]
    assert max(seen) <= max(1, strides[0] * strides[1] // 4 if parts is None else parts)


def test_stride_one_is_full_attention():
    x = tokens((4, 4))
    assert torch.equal(
        strided_attention(x, x, x, Size(4, 4), Size(1, 1), softmax_attention), softmax_attention(x, x, x)
    )
