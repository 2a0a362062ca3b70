"""Attention in chunks."""

import pytest
import torch
from operations import softmax_attention, tokens

from freescale_core.attention.attend import chunked_attention, in_chunks


@pytest.mark.parametrize(
    ("most", "sizes"), [(9, [9]), (8, [4, 5]), (4, [3, 3, 3]), (2, [1, 2, 2, 2, 2]), (0, [1] * 9)]
)
def test_chunks_are_as_few_and_as_even_as_can_be(most, sizes):
    assert sorted(len(chunk) for chunk in in_chunks(range(9), most)) == sizes
    assert [item for chunk in in_chunks(range(9), most) for item in chunk] == list(range(9))


@pytest.mark.parametrize("bytes_at_once", [1, 1000, 10**9])
def test_full_attention_in_chunks_of_queries_is_full_attention(bytes_at_once):
    x = tokens((5, 7))
    out = torch.empty_like(x)
    assert torch.allclose(
        chunked_attention(x, x, x, softmax_attention, bytes_at_once), softmax_attention(x, x, x), atol=1e-6
    )
    got = chunked_attention(x, x, x, softmax_attention, bytes_at_once, out)
    assert got is out
    assert torch.allclose(got, softmax_attention(x, x, x), atol=1e-6)


@pytest.mark.parametrize(
    ("bytes_at_once", "calls"), [(1, 35), (3 * 16, 12), (34 * 16, 2), (35 * 16, 1), (10**9, 1)]
)
def test_chunks_of_queries_keep_within_the_bound_and_are_as_few_as_can_be(bytes_at_once, calls):
    """35 tokens with 4 float32 channels: 16 bytes each."""
    sizes, x = [], tokens((5, 7), batch=1)

    def attend(q, k, v):
        sizes.append(q.nbytes)
        return q

    chunked_attention(x, x, x, attend, bytes_at_once)
    assert len(sizes) == calls
    assert max(sizes) <= max(bytes_at_once, 16)
