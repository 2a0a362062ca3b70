"""Noise levels of ComfyUI's models in the forms the core knows: variance exploding, and the timestep t."""

from typing import Any

from comfy.model_sampling import CONST

from ...freescale_core.schedule import timestep_of, variance_exploding


def variance_exploding_sigma(model_sampling: Any, sigma: float) -> float:
    """sigma in variance-exploding form, by the kind of the model's model_sampling.

    A schedule whose signal is scaled down besides (VideoCrafter2's) says it by itself.
    """
    own = getattr(model_sampling, "variance_exploding_sigma", None)
    if own is not None:
        return float(own(sigma))
    return variance_exploding(
        sigma, float(getattr(model_sampling, "sigma_data", 1.0)), isinstance(model_sampling, CONST)
    )


def timestep(model_sampling: Any, sigma: float) -> float:
    """t of eq. 4 for a noise level of the model, 0 to 999.

    It is the level's place in SDXL's own table, whatever the model is.

    ComfyUI's model_sampling.timestep() and percent_to_sigma() mean something else for EDM, flow and
    zero-terminal-SNR models.
    """
    return timestep_of(variance_exploding_sigma(model_sampling, sigma))
