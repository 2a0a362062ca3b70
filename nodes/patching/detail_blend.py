"""Eq. 4 inside any sampler: the model call that opens a step blends the sampler's own x."""

import copy
import logging
from collections.abc import Callable
from typing import Any

from torch import Tensor

from ...freescale_core.detail import alpha_map, blend_, blend_weight
from ...freescale_core.geometry import Size
from ...freescale_core.settings import DetailSettings
from ..host.noise_level import variance_exploding_sigma
from .sampler_table import LATER_CALLS, ONE_CALL, REFUSED

log = logging.getLogger("FreeScale")


def with_detail_blend(sampler: Any, settings: DetailSettings, noise: Tensor, model_sampling: Any) -> Any:
    """A copy of the SAMPLER that applies eq. 4.

    Or, with a warning, the SAMPLER as it is, if nobody knows which of its calls opens a step.

    Args:
        noise: eps of the run, unscaled, (b, c, h, w) or (b, c, t, h, w).

    Raises:
        ValueError: the sampler never hands its own state to the model.
    """
    function = getattr(sampler, "sampler_function", None)
    check_sampler(sampler)
    name = _function_name(sampler)
    if function is None or (name not in LATER_CALLS and name not in ONE_CALL):
        # Blending the calls between two steps, or copies of the sampler's state, would give a wrong image
        # and no error.
        log.warning(
            "FreeScale: detail control is off in this run, since it does not know the sampler %s: choose one "
            "of KSampler's, such as euler.",
            type(sampler).__name__ if function is None else name,
        )
        return sampler
    later_calls = LATER_CALLS.get(name, lambda left: 0)

    def blended(
        model: Any,
        x: Tensor,
        sigmas: Tensor,
        extra_args: Any = None,
        callback: Any = None,
        disable: Any = None,
        **options: Any,
    ) -> Tensor:
        steps = len(sigmas) - 1
        opener = StepOpener(
            model, settings, noise.to(x), model_sampling, lambda step: later_calls(steps - 1 - step)
        )

        def step_callback(info: dict[str, Any]) -> None:
            opener.step_reported(info["i"])
            if callback is not None:
                callback(info)

        result: Tensor = function(
            opener, x, sigmas, extra_args=extra_args, callback=step_callback, disable=disable, **options
        )
        return result

    copied = copy.copy(sampler)
    copied.sampler_function = blended
    return copied


def check_sampler(sampler: Any) -> None:
    """Raise ValueError if the SAMPLER never hands its own state to the model."""
    name, reason = REFUSED.get(_function_name(sampler), (None, None))
    if name:
        raise ValueError(
            f"FreeScale detail control cannot work with the sampler {name}, because {reason}: "
            "choose euler, dpmpp_2m or any other sampler, or set detail control off."
        )


def _function_name(sampler: Any) -> str:
    function = getattr(sampler, "sampler_function", None)
    return getattr(function, "__name__", "unknown").removeprefix("sample_")


class StepOpener:
    """Stands in for the model a sampler calls; everything else a sampler asks of the model passes through."""

    def __init__(
        self,
        model: Any,
        settings: DetailSettings,
        noise: Tensor,
        model_sampling: Any,
        later_calls: Callable[[int], int],
    ) -> None:
        self._model = model
        self._noise = noise
        self._model_sampling = model_sampling
        self._later_calls = later_calls
        self._skip = 0
        self._alpha = _alpha_for(settings, noise)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, x: Tensor, sigma: Tensor, **kwargs: Any) -> Tensor:
        if self._skip > 0:
            self._skip -= 1
        elif x.shape == self._noise.shape:
            level = float(sigma.flatten()[0])
            weight = blend_weight(variance_exploding_sigma(self._model_sampling, level), self._alpha)
            reference = self._model_sampling.noise_scaling(sigma, self._noise, self._model.latent_image)
            blend_(x, reference, weight)
        out: Tensor = self._model(x, sigma, **kwargs)
        return out

    def step_reported(self, step: int) -> None:
        self._skip = self._later_calls(step)


def _alpha_for(settings: DetailSettings, noise: Tensor) -> float | Tensor:
    """alpha, or its map on the latent grid of the run: (b, 1, h, w), or (b, 1, 1, h, w) for all frames."""
    if not settings.regions:
        return settings.alpha
    found = alpha_map(settings.alpha, settings.regions, noise.shape[0], Size(*noise.shape[-2:]))
    return found if noise.ndim == 4 else found[:, :, None]
