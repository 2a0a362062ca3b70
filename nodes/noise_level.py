"""Noise levels of the host's model types in the one form the core knows (variance exploding, sigma_data 1)."""

from typing import Any

from comfy.model_sampling import CONST


def variance_exploding_sigma(model_sampling: Any, sigma: float) -> float:
    """sigma / (1 - sigma) for flow models, else sigma / sigma_data (EPS, v-prediction, EDM)."""
    if isinstance(model_sampling, CONST):
        return sigma / (1.0 - sigma) if sigma < 1.0 else float("inf")
    return sigma / float(getattr(model_sampling, "sigma_data", 1.0))
