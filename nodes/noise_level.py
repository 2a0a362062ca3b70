"""Noise levels of the host's model types in the one form the core knows (variance exploding, sigma_data 1)."""

from typing import Any

from comfy.model_sampling import CONST

from ..freescale_core.detail_blend import variance_exploding


def variance_exploding_sigma(model_sampling: Any, sigma: float) -> float:
    """sigma in variance-exploding form, by the kind of the model's model_sampling."""
    return variance_exploding(sigma, float(getattr(model_sampling, "sigma_data", 1.0)), isinstance(model_sampling, CONST))
