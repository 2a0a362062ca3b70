"""What a cascade refuses, or warns of, before anything is sampled."""

import logging
from collections.abc import Sequence
from typing import Any

import comfy.samplers
from torch import Tensor

from ...freescale_core.planning.plan import CascadePlan, is_of_latents
from ..input_checks import expect_whole_cell
from ..patching.detail_blend import check_sampler
from .experts import expect_steps
from .run import is_video
from .stages import Stage
from .start import FromImage, FromLatent, Start

log = logging.getLogger("FreeScale")
MAX_STRETCH = 1.05


def check_cascade(stages: list[Stage], plan: CascadePlan, start: Start) -> None:
    """Raise ValueError where `run_cascade` would fail, or give something else than was asked for."""
    base, *later = stages
    _check_start(plan, start)
    if isinstance(start, FromImage) and is_of_latents(plan.method):
        expect_whole_cell("FreeScale Cascade", start.size, base.backbone.cell)
    _check_conditioning(start, (*base.positive, *base.negative))
    for stage in later:
        _check_sampler(stage)
    base_is_sampled = isinstance(start, FromLatent) and start.is_empty
    for stage in stages if base_is_sampled else later:
        expect_steps(stage)
    _warn_about_areas(later)


def _check_start(plan: CascadePlan, start: Start) -> None:
    """A latent is stage 0 and must be smaller than stage 1.

    An image may have any size but must not be squeezed.
    """
    first, size = plan.stages[0], start.size
    stretch = (size.width / size.height) / (first.width / first.height)
    if not 1 / MAX_STRETCH <= stretch <= MAX_STRETCH:
        raise ValueError(
            f"FreeScale Cascade expects a start in the shape of stage 1 ({first}), got {size}: change the "
            "plan or crop the start."
        )
    if isinstance(start, FromLatent) and size.area >= first.area:
        raise ValueError(
            f"FreeScale Cascade expects a latent smaller than stage 1 ({first}), got {size}: change the plan "
            "or the latent."
        )


def _check_conditioning(start: Start, conditioning: Sequence[tuple[Tensor, dict[str, Any]]]) -> None:
    """The image of image-to-video is encoded for one size; later stages would need it anew."""
    if not isinstance(start, FromLatent) or not is_video(start.latent):
        return
    if any("concat_latent_image" in options for _, options in conditioning):
        raise ValueError(
            "FreeScale Cascade expects conditioning without an image of image-to-video, which is made for "
            "one size, got concat_latent_image: sample each stage with a KSampler and its own conditioning "
            "node, with FreeScale Model Patch and FreeScale Upscale."
        )


def _check_sampler(stage: Stage) -> None:
    if stage.settings.detail is not None:
        check_sampler(comfy.samplers.sampler_object(stage.choice.sampler_name))


def _warn_about_areas(stages: list[Stage]) -> None:
    """ComfyUI keeps the pixels of an area in every stage; masks and percentages grow along."""
    areas = [options.get("area") for stage in stages for _, options in (*stage.positive, *stage.negative)]
    if any(area is not None and area[0] != "percentage" for area in areas):
        log.warning(
            "FreeScale: Conditioning (Set Area) keeps its pixels while the image grows: "
            "use Conditioning (Set Area with Percentage) or a mask instead."
        )
