"""The authors' DDIM with eta, as one of ComfyUI's sampler functions.

With eta 0 it is euler. With eta 1 it is euler_ancestral only where the scale array is constant.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .schedule import VideoCrafterSchedule


def sample_videocrafter_ddim(
    model: Any,
    x: Tensor,
    sigmas: Tensor,
    extra_args: dict[str, Any] | None = None,
    callback: Callable[[dict[str, Any]], None] | None = None,
    disable: bool | None = None,
    eta: float = 1.0,
    noise_sampler: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Tensor:
    """Sample along `sigmas`, and give back noise after each step.

    eta: share of DDPM's noise, 0 to 1. noise_sampler: (sigma, next sigma) -> noise in the shape of x.

    Raises:
        ValueError: the model is not VideoCrafter2.
    """
    schedule = model.inner_model.inner_model.model_sampling
    if not isinstance(schedule, VideoCrafterSchedule):
        raise ValueError(
            "VideoCrafter2 Sampler expects a model of Load VideoCrafter2, got another: choose a sampler of "
            "KSampler for it."
        )
    extra_args = extra_args or {}
    noise_sampler = noise_sampler or _seeded_noise(x, extra_args.get("seed"))
    ones = x.new_ones(len(x))
    for step, (sigma, after) in enumerate(zip(sigmas, sigmas[1:], strict=False)):
        denoised = model(x, sigma * ones, **extra_args)
        if callback is not None:
            callback({"x": x, "i": step, "sigma": sigma, "sigma_hat": sigma, "denoised": denoised})
        down, up = step_levels(schedule, sigma, after, eta)
        x = denoised + (x - denoised) * (down / sigma)
        if up > 0:
            x = x + up * noise_sampler(sigma, after)
    return x


def step_levels(
    schedule: VideoCrafterSchedule, sigma: Tensor, after: Tensor, eta: float
) -> tuple[Tensor, Tensor]:
    """Noise level down to which a step goes, and that of the noise it then adds.

    sigma, after: levels of the step's beginning and end. DDIM's own formula knows nothing of the scale, so
    the levels are those of the ordinary schedule, sigma s, divided by s in the end.
    """
    if after <= 0:
        return torch.zeros_like(sigma), torch.zeros_like(sigma)
    scale = schedule.scale_at(after)
    before, end = sigma * schedule.scale_at(sigma), after * scale
    up = eta * end * (1.0 - (end / before) ** 2).clamp(min=0.0) ** 0.5
    down = (end**2 - up**2).clamp(min=0.0) ** 0.5
    return down / scale, up / scale


def _seeded_noise(x: Tensor, seed: int | None) -> Callable[[Tensor, Tensor], Tensor]:
    """Noise from a generator of its own, so that a seed gives one video."""
    generator = torch.Generator().manual_seed((seed or 0) + 1)
    return lambda sigma, after: torch.randn(x.shape, generator=generator).to(x)
