"""A stage by two experts, as Wan 2.2 A14B has them: one MODEL for high noise, one for low noise.

Both runs get the same noise and the same latent, which eq. 4 and noise masks refer to. The second begins with
the very x that the first ends with.
"""

import copy
import functools
from collections.abc import Iterator
from typing import Any

import comfy.sample
import comfy.samplers
import comfy.utils
import torch
from comfy.model_sampling import CONST
from torch import Tensor

from ..host.types import Callback, LatentDict, Model
from ..patching.outer_sample import GOES_ON
from .stages import SEEDS, LowNoiseExpert, Stage, expect_latent_space

NOT_IN_ONE_STEP = {"uni_pc", "uni_pc_bh2", "dpm_fast", "dpm_adaptive"}
"""Samplers that leave x as it is, or divide by nothing, where there are only two sigmas."""


class HandOver:
    """The sampler's own x, from the end of a run to the beginning of the next one."""

    def __init__(self) -> None:
        self._x: Tensor | None = None

    def through(self, sampler: Any) -> Any:
        """A copy of the SAMPLER that begins where the run before ended, and keeps where it ends itself."""
        function = sampler.sampler_function
        copied = copy.copy(sampler)
        setattr(copied, GOES_ON, self._x is not None)

        @functools.wraps(function)  # Its name says which of its calls opens a step.
        def sampled(model: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            begin = x if self._x is None else self._x.to(x)
            self._x = function(model, begin, *args, **kwargs)
            return self._x

        copied.sampler_function = sampled
        return copied


def sampled_by_both(
    stage: Stage, low_noise: LowNoiseExpert, latent: LatentDict, noise: Tensor, callback: Callback
) -> Tensor:
    """The finished latent of a stage. noise: eps of the stage, (b, c, h, w) or (b, c, t, h, w)."""
    choice, hand_over, done = stage.choice, HandOver(), 0
    sampler = comfy.samplers.sampler_object(choice.sampler_name)
    for number, (model, sigmas) in enumerate(parts_of(stage, low_noise)):
        out = comfy.sample.sample_custom(
            model,
            noise,
            choice.cfg,
            hand_over.through(sampler),
            sigmas,
            stage.positive,
            stage.negative,
            latent["samples"],
            noise_mask=latent.get("noise_mask"),
            callback=_from_step(callback, done, stage.step_count()),
            disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
            # Noise that a sampler draws on its way is drawn twice otherwise. The seed does not change eps.
            seed=(choice.seed + number * SEEDS // 2) % SEEDS,
        )
        done += len(sigmas) - 1
    result: Tensor = out
    return result


def parts_of(stage: Stage, low_noise: LowNoiseExpert) -> Iterator[tuple[Model, Tensor]]:
    """The MODELs that sample steps of a stage, in order, each with its noise levels.

    The schedule is that of the stage's own MODEL. A step is the low-noise expert's if it begins below the
    boundary.
    """
    sigmas = stage.sigmas()[stage.start_step or 0 :]
    high = int(torch.count_nonzero(sigmas[:-1] >= low_noise.boundary))
    for model, part in ((stage.model, sigmas[: high + 1]), (low_noise.model, sigmas[high:])):
        if len(part) > 1:
            yield model, part


def _from_step(callback: Callback, first: int, steps: int) -> Callback:
    def later(step: int, x0: Tensor, x: Tensor, total_steps: int) -> None:
        callback(first + step, x0, x, steps)

    return later


def expect_steps(stage: Stage) -> None:
    """Raise ValueError where an expert has a single step and the sampler does nothing, or fails, in one."""
    if stage.low_noise is None or stage.choice.sampler_name not in NOT_IN_ONE_STEP:
        return
    parts = list(parts_of(stage, stage.low_noise))
    if len(parts) > 1 and any(len(sigmas) == 2 for _, sigmas in parts):
        raise ValueError(
            "FreeScale Cascade expects two steps or more for each expert with "
            f"{stage.choice.sampler_name}, got one: take more steps, another boundary or euler."
        )


def expect_experts(high: Model, low: Model) -> None:
    """Raise ValueError unless both are flow models with one latent space."""
    advice = "connect the other expert of the same model, or nothing"
    for model in (high, low):
        sampling = model.get_model_object("model_sampling")
        if not isinstance(sampling, CONST):
            raise ValueError(
                "FreeScale Cascade expects flow models where low_noise_model is connected, such as Wan 2.2 "
                f"A14B, got {type(model.model).__name__}: {advice}."
            )
    expect_latent_space("FreeScale Cascade", low, high, advice)
