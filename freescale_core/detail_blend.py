"""Eq. 4: while sampling, pull x towards the noised, upsampled latent; alpha says how soon to let go."""

import math
from functools import cache, lru_cache

import numpy as np
import torch
from torch import Tensor

TIMESTEPS = 1000


@cache
def _log_sigmas() -> np.ndarray:
    """log sigma_t of the standard scaled-linear SDXL schedule, t = 0..999."""
    betas = np.linspace(0.00085**0.5, 0.012**0.5, TIMESTEPS, dtype=np.float64) ** 2
    alphas = np.cumprod(1.0 - betas)
    return np.log(np.sqrt((1.0 - alphas) / alphas))


@lru_cache(maxsize=256)  # Every attention layer of a model call asks for the same level.
def timestep_of(sigma: float) -> float:
    """The (fractional) index t of a noise level in the standard SDXL table, 0 <= t <= 999.

    sigma: variance-exploding form. Levels outside the table count as its ends.
    """
    if sigma <= 0:
        return 0.0
    table = _log_sigmas()
    return float(np.interp(math.log(sigma), table, np.arange(TIMESTEPS))) if math.isfinite(sigma) else TIMESTEPS - 1.0


def variance_exploding(sigma: float, sigma_data: float = 1.0, flow: bool = False) -> float:
    """A model's own noise level in variance-exploding form: sigma / sigma_data (EPS and v-prediction 1, EDM 0.5),
    or sigma / (1 - sigma) for flow models, whose x is (1 - sigma) z0 + sigma eps."""
    if flow:
        return sigma / (1.0 - sigma) if sigma < 1.0 else math.inf
    return sigma / sigma_data


def blend_weight(sigma: float, alpha: float | Tensor) -> float | Tensor:
    """c = ((1 + cos(pi (1000 - t) / 1000)) / 2)^alpha, 0 <= c <= 1 (eq. 4).

    alpha ("cosine scale"): a number or a map that broadcasts against the latent. Larger alpha: c decays
    sooner, hence more new detail and less hold on the upsampled picture.
    """
    return weight_at(timestep_of(sigma), alpha)


def weight_at(t: float, alpha: float | Tensor) -> float | Tensor:
    """c of eq. 4 at the timestep t."""
    c = (1.0 + math.cos(math.pi * (TIMESTEPS - t) / TIMESTEPS)) / 2.0
    return c**alpha if isinstance(alpha, float | int) else torch.pow(c, alpha)


def blend_(x: Tensor, reference: Tensor, weight: float | Tensor) -> Tensor:
    """x <- (1 - c) x + c reference, in place (eq. 4).

    In place because the sampler's own state must change, not only what the model sees.
    x, reference: (b, c, h, w). reference is z0 noised to the level of x by the model's own noise scaling:
    z0 + sigma eps for EPS, v-prediction and EDM, (1 - sigma) z0 + sigma eps for flow.
    """
    # A map is rounded to the dtype of x where a number would be: last.
    rest, weight = (c.to(x) if isinstance(c, Tensor) else c for c in (1.0 - weight, weight))
    return x.copy_(rest * x + weight * reference)
