"""Gives the rotary frequencies of an axis, and the factor on theta (NTK) that stretches them."""

import torch
from torch import Tensor


def frequencies(dims: int, theta: float) -> Tensor:
    """omega_i = theta^(-2i / dims) of each pair of channels: (dims / 2,), float64."""
    return theta ** -(torch.arange(0, dims, 2, dtype=torch.float64) / dims)


def ntk_factor(scale: float, dims: int) -> float:
    """What theta is multiplied with for an axis `scale` times as long: s^(d / (d - 2)).

    The lowest frequency then turns as far over the whole axis as in training, and the highest stays. Axes
    that are not longer keep their theta.

    >>> round(ntk_factor(2.0, 42), 2)
    2.07
    """
    return max(1.0, scale) ** (dims / (dims - 2)) if dims > 2 else 1.0


def turning(positions: Tensor, omegas: Tensor, device: torch.device) -> Tensor:
    """Rotation of each pair of channels at each position.

    Args:
        positions: (n,). Differences of positions turn what is turned already: rotations add up.
        omegas: (pairs,), float64.

    Returns: (n, pairs, 2, 2), float32 on `device`: [[cos, -sin], [sin, cos]].
    """
    angles = positions.double()[:, None] * omegas
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([cos, -sin, sin, cos], dim=-1).view(*angles.shape, 2, 2).float().to(device)


def turned(x: Tensor, rotation: Tensor) -> Tensor:
    """x (..., n, dims) with each pair of neighbouring channels rotated; rotation (n, dims / 2, 2, 2)."""
    pairs = x.to(rotation.dtype).reshape(*x.shape[:-1], -1, 1, 2)
    both: Tensor = rotation[..., 0] * pairs[..., 0] + rotation[..., 1] * pairs[..., 1]
    return both.flatten(-2).to(x.dtype)
