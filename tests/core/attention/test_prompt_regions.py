"""Cross-attention with several texts, on an attention whose result is the mean of the values."""

import pytest
import torch

from freescale_core.attention.prompt_regions import regional_attention


def mean_of_values(q, k, v):
    assert k.shape == v.shape
    return v.mean(dim=1, keepdim=True).expand(-1, q.shape[1], -1)


def attended(*weights, values=(1.0, 5.0, 9.0), lengths=(2, 3, 1), dtype=torch.float32):
    """One row of three query tokens; text i has lengths[i] tokens of value values[i]."""
    v = torch.cat(
        [torch.full((1, n, 1), value, dtype=dtype) for n, value in zip(lengths, values, strict=True)], dim=1
    )
    maps = [torch.tensor(weight, dtype=dtype).view(1, 3, 1) for weight in weights]
    return (
        regional_attention(torch.zeros(1, 3, 1, dtype=dtype), v.clone(), v, lengths[1:], maps, mean_of_values)
        .flatten()
        .tolist()
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_weight_0_is_the_main_text_and_weight_1_the_regions_exactly(dtype):
    assert attended([0.0, 1.0, 0.5], [0.0, 0.0, 0.0], dtype=dtype) == [1.0, 5.0, 3.0]
    far_apart = attended([0.0, 1.0, 0.0], [0.0, 0.0, 0.0], values=(1000.0, 0.1, 1e-6), dtype=dtype)
    assert far_apart[:2] == torch.tensor([1000.0, 0.1], dtype=dtype).tolist()


def test_a_later_region_lies_on_top():
    assert attended([1.0, 1.0, 1.0], [0.0, 1.0, 0.5]) == [5.0, 9.0, 7.0]
    assert attended([0.5, 1.0, 1.0], [0.5, 0.25, 1.0]) == [6.0, 6.0, 9.0]
