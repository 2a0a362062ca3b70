"""VideoCrafter2's noise levels for ComfyUI: its samplers see z0 + sigma eps, the network alpha times that.

The authors' noised latent is sqrt(a) s z0 + sqrt(1 - a) eps: a is alphas_cumprod of the ordinary schedule,
and s, their scale array, takes signal away without adding noise. Divided by alpha = sqrt(a) s it has the form
that ComfyUI's samplers work on, with sigma = sqrt((1 - a) / a) / s.
"""

import math
from typing import Any

import numpy as np
import torch
from comfy.model_sampling import EPS, ModelSamplingDiscrete, reshape_sigma
from torch import Tensor

TIMESTEPS = 1000


def scale_array() -> Tensor:
    """s for t = 0 to 999: it falls from 1 to 0.7 within 400 timesteps and stays there."""
    falling = torch.linspace(1.0, 0.7, 400, dtype=torch.float64)
    return torch.cat([falling, torch.full((TIMESTEPS - 400,), 0.7, dtype=torch.float64)])


class VideoCrafterSchedule(ModelSamplingDiscrete, EPS):
    """model_sampling of VideoCrafter2: ComfyUI's discrete schedule with the scale array."""

    def __init__(self, model_config: Any = None, scale: Tensor | None = None) -> None:
        """scale: s for t = 0 to 999; None = the published one."""
        super().__init__(model_config)
        scale = scale_array() if scale is None else scale.double().cpu()[: len(self.sigmas)]
        self.register_buffer("scale", scale.float())
        ordinary = self.sigmas.double()
        self.set_sigmas(ordinary / scale)
        # On the CPU, where no layer of a GPU's model call waits for them.
        self._levels = ((ordinary / scale).log().numpy(), scale.numpy())

    def scale_at(self, sigma: Tensor) -> Tensor:
        """s at noise levels of any shape, interpolated over log sigma between two timesteps."""
        table, scale = self.log_sigmas.to(sigma.device), self.scale.to(sigma.device)
        level = sigma.float().log().clamp(table[0], table[-1])
        above = torch.searchsorted(table, level).clamp(1, len(table) - 1)
        share = (level - table[above - 1]) / (table[above] - table[above - 1])
        return torch.lerp(scale[above - 1], scale[above], share)

    def variance_exploding_sigma(self, sigma: float) -> float:
        """The ordinary schedule's level, sqrt((1 - a) / a), of the same timestep."""
        return sigma * float(np.interp(math.log(sigma), *self._levels)) if sigma > 0 else sigma

    def alpha_at(self, sigma: Tensor) -> Tensor:
        """alpha = sqrt(a) s: what the network's input is, over what the samplers see."""
        scale = self.scale_at(sigma)
        return scale / (1.0 + (sigma * scale) ** 2) ** 0.5

    def calculate_input(self, sigma: Tensor, noise: Tensor) -> Tensor:
        """noise: the sampler's x. Returns the network's."""
        return noise * self.alpha_at(reshape_sigma(sigma, noise.ndim))

    def noise_scaling(
        self, sigma: Tensor, noise: Tensor, latent_image: Tensor, max_denoise: bool = False
    ) -> Tensor:
        """The sampler's x of a latent and eps, as the authors' q_sample makes it.

        A run from nothing starts with noise of variance 1 before the network, whatever timestep it starts
        at.
        """
        sigma = reshape_sigma(sigma, noise.ndim)
        from_nothing = max_denoise or not latent_image.any()
        return latent_image + (noise / self.alpha_at(sigma) if from_nothing else noise * sigma)
