"""FreeScaleCascade: like KSampler, but it goes on from the base size to the target size, stage by stage."""

import dataclasses
import logging
from typing import Any

import comfy.samplers
from comfy_api.latest import io, ui
from torch import Tensor

from ..freescale_core.geometry import LATENT_CELL, Size, scaled
from ..freescale_core.plan import CascadePlan
from ..freescale_core.settings import FreeScaleSettings
from ..freescale_core.stages import doubling_stages
from .auto_preset import auto_preset
from .cascade import SamplerChoice, Stage, run_cascade, stage_size
from .cascade_progress import shrunk
from .detail_sampler import check_sampler
from .host import empty_latent_for, search_aliases, without_grid_hints
from .input_checks import expect_channels, expect_image, expect_inputs, expect_latent, expect_one, expect_vae
from .plan_node import PlanType
from .stage_override import OverridesType, StageOverride, stages_of
from .stage_sampling import settings_of, with_settings

log = logging.getLogger("FreeScale")
MAX_STRETCH = 1.05
SHOWN_PER_STAGE = 4
"""Pictures of a batch that the node shows."""


class FreeScaleCascade(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FreeScaleCascade",
            display_name="FreeScale Cascade",
            category="FreeScale",
            description="Samples like KSampler and goes on to the target size in stages, each upscaled and refined with FreeScale.",
            inputs=[
                io.Model.Input("model", tooltip="An SDXL or SD1.5 model. Without a FreeScale patch, the preset Auto is applied."),
                io.Conditioning.Input("positive", tooltip="What the picture should show."),
                io.Conditioning.Input("negative", tooltip="What the picture should not show."),
                io.Vae.Input("vae", tooltip="Decodes and encodes between the stages."),
                io.Int.Input(
                    "seed", default=0, min=0, max=2**64 - 1, control_after_generate=True, tooltip="Noise of stage 0; stage r uses seed + r."
                ),
                io.Int.Input(
                    "steps",
                    default=50,
                    min=1,
                    max=10000,
                    tooltip="Steps of the full schedule. Later stages begin at the first one with t up to 700 (few-step models 500).",
                ),
                io.Float.Input(
                    "cfg",
                    default=7.5,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    round=0.01,
                    tooltip="Classifier-free guidance scale, in all stages that no override changes.",
                ),
                io.Combo.Input("sampler_name", options=comfy.samplers.KSampler.SAMPLERS, default="euler", tooltip="The authors use euler."),
                io.Combo.Input(
                    "scheduler", options=comfy.samplers.KSampler.SCHEDULERS, default="ddim_uniform", tooltip="The authors' is ddim_uniform."
                ),
                io.Float.Input(
                    "factor",
                    default=2.0,
                    min=1.1,
                    max=16.0,
                    step=0.05,
                    tooltip="Final size over the size of what comes in: 2 = 2k, 4 = 4k from 1024.",
                ),
                io.Latent.Input("latent", optional=True, tooltip="Empty: stage 0 is sampled. Otherwise it is the finished stage 0."),
                io.Image.Input("image", optional=True, tooltip="Any finished picture in place of stage 0."),
                PlanType.Input("plan", optional=True, tooltip="Stages and their settings; the factor is then not used."),
                OverridesType.Input("overrides", optional=True, tooltip="Another model, prompt or cfg for later stages."),
            ],
            outputs=[
                io.Latent.Output(display_name="latent", tooltip="The final stage as a latent."),
                io.Image.Output(display_name="image", tooltip="The final picture."),
                io.Image.Output(display_name="stages", is_output_list=True, tooltip="The pictures of all stages, the base first."),
            ],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            **search_aliases("hires fix", "high resolution", "4k", "8k", "self cascade", "ksampler"),
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        positive: Any,
        negative: Any,
        vae: Any,
        seed: int,
        steps: int,
        cfg: float,
        sampler_name: str,
        scheduler: str,
        factor: float,
        latent: Any = None,
        image: Any = None,
        plan: CascadePlan | None = None,
        overrides: tuple[StageOverride, ...] = (),
    ) -> io.NodeOutput:
        links = {"model": model, "positive": positive, "negative": negative}
        numbers = {"seed": seed, "steps": steps, "cfg": cfg, "factor": factor}
        expect_inputs(cls.define_schema(), **links, **numbers, sampler_name=sampler_name, scheduler=scheduler)
        expect_one("FreeScale Cascade", latent, image)
        expect_vae("FreeScale Cascade", vae)
        if image is not None:
            expect_image("FreeScale Cascade", image)
        if latent is not None:
            expect_latent("FreeScale Cascade", latent)
            if not latent["samples"].any():
                latent = {**without_grid_hints(latent), "samples": empty_latent_for(model, latent)}
            elif latent.get("noise_mask") is not None:
                log.info(
                    "FreeScale: the latent with a noise mask counts as the finished stage 0: it is not inpainted now, "
                    "later stages only refine it inside the mask."
                )
            expect_channels(
                "FreeScale Cascade",
                model.model.latent_format.latent_channels,
                latent["samples"],
                "encode the picture with this model's VAE",
            )
        start = stage_size(None if latent is None else latent["samples"], image)
        settings = settings_of(model) or _auto_settings(model)
        if plan is None:
            plan = _plan_by_factor(settings, start, factor)
        else:
            settings = dataclasses.replace(settings, base=plan.base)
            overrides = tuple(override.with_base(plan.base) for override in overrides)
        _check_start(plan, start, image is not None)
        choice = SamplerChoice(seed, steps, cfg, sampler_name, scheduler)
        stages = stages_of(Stage(with_settings(model, settings), positive, negative, choice), plan, overrides)
        for stage in stages[1:]:
            _check_stage_sampler(stage)
        _warn_about_areas(stages[1:])
        results = run_cascade(stages, vae, plan, latent, image)
        pictures = [result.image for result in results if result.image is not None]
        return io.NodeOutput(results[-1].latent, pictures[-1], pictures, ui=_stage_previews(cls, pictures))


def _auto_settings(model: Any) -> FreeScaleSettings:
    log.info("FreeScale: the model carries no FreeScale patch, the preset Auto is applied.")
    return auto_preset(model)


def _plan_by_factor(settings: FreeScaleSettings, start: Size, factor: float) -> CascadePlan:
    """Doubling stages from `start`. Base: the patch's, else the preset's area in the aspect of the start."""
    base = settings.base_for(start)
    return CascadePlan(base, doubling_stages(start, scaled(start, factor, LATENT_CELL)))


def _check_start(plan: CascadePlan, start: Size, is_image: bool) -> None:
    """A latent is stage 0 and must have a size below stage 1; a picture may have any size but must not be squeezed."""
    first = plan.stages[0]
    stretch = (start.width / start.height) / (first.width / first.height)
    if not 1 / MAX_STRETCH <= stretch <= MAX_STRETCH:
        raise ValueError(
            f"FreeScale Cascade expects a start in the shape of stage 1 ({first}), got {start}: change the plan or crop the start."
        )
    if not is_image and start.area >= first.area:
        raise ValueError(f"FreeScale Cascade expects a latent smaller than stage 1 ({first}), got {start}: change the plan or the latent.")


def _check_stage_sampler(stage: Stage) -> None:
    settings = settings_of(stage.model)
    if settings is not None and settings.detail is not None:
        check_sampler(comfy.samplers.sampler_object(stage.choice.sampler_name))


def _warn_about_areas(stages: list[Stage]) -> None:
    """The host keeps an area's pixels in every stage; masks and percentages grow along."""
    areas = [options.get("area") for stage in stages for _, options in (*stage.positive, *stage.negative)]
    if any(area is not None and area[0] != "percentage" for area in areas):
        log.warning(
            "FreeScale: Conditioning (Set Area) keeps its pixels while the picture grows: "
            "use Conditioning (Set Area with Percentage) or a mask instead."
        )


def _stage_previews(cls: type[io.ComfyNode], pictures: list[Tensor]) -> ui.PreviewImage:
    """Some pictures of each stage for the node, none larger than the node can show."""
    previews = [ui.PreviewImage(shrunk(picture[:SHOWN_PER_STAGE]), cls=cls) for picture in pictures]
    for preview in previews[1:]:
        previews[0].values.extend(preview.values)
    return previews[0]
