"""Random weights for a small network that tests write into a file of a real model's layout."""

import torch
from torch import Tensor, nn

SPREAD = 0.08
"""Large enough that every layer acts, small enough that numbers stay finite."""


def random_weights(network: nn.Module, seed: int = 0) -> dict[str, Tensor]:
    """New tensors in half precision for each of a network's own, by name."""
    drawn = torch.Generator().manual_seed(seed)
    return {
        name: (SPREAD * torch.randn(tensor.shape, generator=drawn)).half()
        if tensor.is_floating_point()
        else tensor.clone()
        for name, tensor in network.state_dict().items()
    }
