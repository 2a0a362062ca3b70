"""What is kept across runs is made outside the host's inference mode: no later run may fail on it."""

import pytest
import torch

from freescale_core.attention import blur, gather, neighbourhoods
from freescale_core.geometry import Size

CPU, GRID, WINDOW = torch.device("cpu"), Size(8, 12), Size(4, 4)
MAKERS = {
    "band": (blur._band, (12, 3, 1.0, torch.float16, CPU)),
    "blocks": (blur._blocks, (12, 3, 1.0, torch.float16, CPU)),
    "indices of a window": (gather._top_left_indices, (2, GRID, WINDOW, CPU)),
    "tables of neighbourhoods": (neighbourhoods._tables, (GRID, WINDOW, CPU)),
}


def tensors(made):
    parts = [made] if isinstance(made, torch.Tensor) else made
    parts = [
        inner
        for part in parts
        for inner in (vars(part).values() if isinstance(part, gather.WindowTables) else [part])
    ]
    return [part for part in parts if isinstance(part, torch.Tensor)]


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_cached_in_inference_mode_is_no_inference_tensor(name):
    make, arguments = MAKERS[name]
    # The blocks are cut from a band, which must be made anew, too.
    for cached, _ in MAKERS.values():
        cached.cache_clear()
    with torch.inference_mode():
        made = make(*arguments)
        assert torch.ones(1).is_inference()
    assert make(*arguments) is made
    found = tensors(made)
    assert found and not any(tensor.is_inference() for tensor in found)
