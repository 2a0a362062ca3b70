"""The noise schedule: noise level <-> timestep t of SDXL's own table, and where a stage restarts."""

import math
from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np

TIMESTEPS = 1000
ROUNDING = 0.01
"""Timesteps by which a level that went through float32 may miss its t."""


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
    return (
        float(np.interp(math.log(sigma), table, np.arange(TIMESTEPS)))
        if math.isfinite(sigma)
        else TIMESTEPS - 1.0
    )


def variance_exploding(sigma: float, sigma_data: float = 1.0, flow: bool = False) -> float:
    """A model's own noise level in variance-exploding form.

    That is sigma / sigma_data (EPS and v-prediction 1, EDM 0.5), or sigma / (1 - sigma) for flow models,
    whose x is (1 - sigma) z0 + sigma eps.
    """
    if flow:
        return sigma / (1.0 - sigma) if sigma < 1.0 else math.inf
    return sigma / sigma_data


def restart_step(timesteps: Sequence[float], restart: float) -> int:
    """K, the step at which stages >= 1 begin.

    It is the first one at t <= (1 - restart) * 1000, or else the last step.

    Decided by noise level and not by number, so that every scheduler and every kind of model restarts at the
    same noise. With the authors' 50 steps of ddim_uniform it is their K = int(0.3 * 50), at t = 681.

    Args:
        timesteps: t at which each step of the full schedule begins, descending.
        restart: share of the noise, by timestep t, that is skipped, 0 to below 1.
    """
    latest = (1.0 - restart) * TIMESTEPS + ROUNDING
    return next((step for step, t in enumerate(timesteps) if t <= latest), len(timesteps) - 1)


def ddim_uniform_timesteps(steps: int) -> Sequence[int]:
    """t at which each step of the ddim_uniform schedule begins: 981, 961, ... 1 for 50 steps.

    For 6 steps it has 7.
    """
    return range(1, TIMESTEPS, max(TIMESTEPS // steps, 1))[::-1]


def flow_sigmas(steps: int, shift: float) -> list[float]:
    """Noise levels of a flow model, the last one 0: shift u / (1 + (shift - 1) u), u from 1 to 0 evenly.

    ComfyUI's scheduler "simple" gives the same where `steps` divides 1000.
    """
    levels = [1.0 - step / steps for step in range(steps + 1)]
    return [shift * u / (1.0 + (shift - 1.0) * u) for u in levels]
