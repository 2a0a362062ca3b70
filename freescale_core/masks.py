"""Masks of any size on the grid of a stage or of one UNet level."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .geometry import Size


def resize_masks(masks: Tensor, size: Size, nearest: bool = False) -> Tensor:
    """Masks (b, h, w) -> (b, size.height, size.width).

    A latent pixel or token gets the mean of the mask below it, or, where the mask is the coarser one, a value
    between its neighbours. What is exactly 0 or 1 all around it stays exactly 0 or 1.
    """
    if nearest:
        return F.interpolate(masks[:, None], size, mode="nearest")[:, 0]
    smaller = Size(min(masks.shape[1], size.height), min(masks.shape[2], size.width))
    means = F.interpolate(masks[:, None], smaller, mode="area")
    return F.interpolate(means, size, mode="bilinear", align_corners=False)[:, 0]


def repeat_to(tensor: Tensor, batch: int) -> Tensor:
    """(b, ...) -> (batch, ...): repeats fewer in turn and drops further ones, as ComfyUI does."""
    return tensor[torch.arange(batch, device=tensor.device) % tensor.shape[0]]
