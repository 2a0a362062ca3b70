"""FreeScaleCascade: like KSampler, but it goes on from the base size to the target size, stage by stage."""

import dataclasses
import logging
from collections.abc import Hashable
from typing import Any

import comfy.samplers
from comfy_api.latest import io, ui
from comfy_execution.graph_utils import ExecutionBlocker
from torch import Tensor

from ..freescale_core.geometry import Size, enlarged
from ..freescale_core.planning.plan import CascadePlan, is_of_latents
from ..freescale_core.planning.stages import doubling_stages
from ..freescale_core.presets import SCHEDULER, STEPS
from ..freescale_core.settings import FreeScaleSettings
from . import widgets
from .backbones.backbone import Backbone, auto_preset, backbone_of
from .backbones.video import frames_are_a_batch
from .cascade.checks import check_cascade
from .cascade.experts import expect_experts
from .cascade.kept import KEPT, origin_of
from .cascade.progress import shrunk
from .cascade.run import run_cascade
from .cascade.stages import LowNoiseExpert, SamplerChoice, Stage, StageOverride, stages_of
from .cascade.start import FromLatent, Start, start_from
from .cascade.vae import encode_video
from .host.prompt_graph import queued
from .host.releases import lasting_previews, search_aliases
from .host.types import Conditioning, LatentDict, Model, Vae
from .input_checks import (
    expect_channels,
    expect_image,
    expect_inputs,
    expect_latent,
    expect_one,
    expect_vae,
    is_vae,
    link_problem,
)
from .patching.model import settings_of
from .sampler_check import sampler_problem
from .widgets import OverridesType, PlanType

log = logging.getLogger("FreeScale")
ORIGIN_INPUTS = ("model", "positive", "negative", "vae", "overrides", "low_noise_model")
BOUNDARY = 0.875
"""Wan 2.2 A14B's hand-over for text to video."""
NO_IMAGE = (
    "FreeScale Cascade has no image, for it has no VAE or memory ran out while decoding: decode its latent "
    "with VAE Decode (Tiled)."
)
"""What nodes behind the image outputs are told."""
SHOWN_PER_STAGE = 4
"""Images of a batch that the node shows; of a video it is one frame."""


class FreeScaleCascade(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FreeScaleCascade",
            display_name="FreeScale Cascade",
            category="FreeScale",
            description="Samples like KSampler and goes on to the target size in stages, each upscaled and "
            "refined with FreeScale.",
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="SDXL, SD1.5 or a flow model. Without a FreeScale patch, preset Auto is applied.",
                ),
                io.Conditioning.Input("positive", tooltip="What the image should show."),
                io.Conditioning.Input("negative", tooltip="What the image should not show."),
                io.Vae.Input("vae", tooltip="Decodes and encodes between the stages."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=2**64 - 1,
                    control_after_generate=True,
                    tooltip="Noise of stage 0; stage r uses seed + r.",
                ),
                io.Int.Input(
                    "steps",
                    default=STEPS,
                    min=1,
                    max=10000,
                    tooltip="Steps of the full schedule. Later stages begin at the first one with t up to "
                    "700 (few-step models 500).",
                ),
                widgets.cfg(7.5, "Classifier-free guidance scale, in all stages that no override changes."),
                io.Combo.Input(
                    "sampler_name",
                    options=comfy.samplers.KSampler.SAMPLERS,
                    default="euler",
                    tooltip="The authors use euler.",
                ),
                io.Combo.Input(
                    "scheduler",
                    options=comfy.samplers.KSampler.SCHEDULERS,
                    default=SCHEDULER,
                    tooltip="The authors' is ddim_uniform.",
                ),
                widgets.factor("Final size over the size of what comes in: 2 = 2k, 4 = 4k from 1024."),
                io.Latent.Input(
                    "latent",
                    optional=True,
                    tooltip="Empty: stage 0 is sampled. Otherwise it is the finished stage 0.",
                ),
                io.Image.Input("image", optional=True, tooltip="Any finished image in place of stage 0."),
                PlanType.Input(
                    "plan", optional=True, tooltip="Stages and their settings; the factor is then not used."
                ),
                OverridesType.Input(
                    "overrides", optional=True, tooltip="Another model, prompt or cfg for later stages."
                ),
                io.Model.Input(
                    "low_noise_model",
                    optional=True,
                    tooltip="The second expert of Wan 2.2 A14B, whose first is model. It takes over the "
                    "settings of model.",
                ),
                io.Float.Input(
                    "boundary",
                    optional=True,
                    default=BOUNDARY,
                    min=0.0,
                    max=1.0,
                    step=0.001,
                    force_input=True,
                    tooltip="Noise level (sigma) below which low_noise_model samples. Unconnected: "
                    f"{BOUNDARY}, Wan 2.2's for text to video.",
                ),
            ],
            outputs=[
                io.Latent.Output(display_name="latent", tooltip="The final stage as a latent."),
                io.Image.Output(display_name="image", tooltip="The final image."),
                io.Image.Output(
                    display_name="stages",
                    is_output_list=True,
                    tooltip="The images of all stages, the base first.",
                ),
            ],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo, io.Hidden.unique_id],
            **lasting_previews(),
            **search_aliases("hires fix", "high resolution", "4k", "8k", "self cascade", "ksampler"),
        )

    @classmethod
    def validate_inputs(cls, input_types: dict[str, str]) -> bool | str:
        problem = link_problem(cls.define_schema(), input_types, "latent", "image")
        return problem or sampler_problem(queued(), _own_id(cls)) or True

    @classmethod
    def fingerprint_inputs(cls, **inputs: Any) -> int:
        """After lack of memory the node counts as changed, so that Run goes on from the stages that are
        kept."""
        return KEPT.unfinished

    @classmethod
    def execute(
        cls,
        model: Model,
        positive: Conditioning,
        negative: Conditioning,
        vae: Vae | None,
        seed: int,
        steps: int,
        cfg: float,
        sampler_name: str,
        scheduler: str,
        factor: float,
        latent: LatentDict | None = None,
        image: Tensor | None = None,
        plan: CascadePlan | None = None,
        overrides: tuple[StageOverride, ...] | None = None,
        low_noise_model: Model | None = None,
        boundary: float = BOUNDARY,
    ) -> io.NodeOutput:
        links: dict[str, Any] = {"model": model, "positive": positive, "negative": negative}
        numbers = {"seed": seed, "steps": steps, "cfg": cfg, "factor": factor, "boundary": boundary}
        expect_inputs(cls.define_schema(), **links, **numbers, sampler_name=sampler_name, scheduler=scheduler)
        expect_one("FreeScale Cascade", latent, image)
        backbone = backbone_of(model)
        settings = settings_of(model) or _auto_settings(model)
        method = settings.method if plan is None else plan.method
        if image is not None or not is_of_latents(method):
            expect_vae("FreeScale Cascade", vae)
        if image is not None:
            expect_image("FreeScale Cascade", image)
        if latent is not None:
            expect_latent("FreeScale Cascade", latent, videos=not backbone.is_unet)
        if low_noise_model is not None:
            expect_experts(model, low_noise_model)
        start = _start(model, latent, image, vae, backbone)
        if isinstance(start, FromLatent):
            channels, advice = (
                model.model.latent_format.latent_channels,
                "encode the image with this model's VAE",
            )
            expect_channels("FreeScale Cascade", channels, start.latent["samples"], advice)
        choice = SamplerChoice(seed, steps, cfg, sampler_name, scheduler)
        base = Stage(model, settings, positive, negative, choice)
        if low_noise_model is not None:
            base = dataclasses.replace(base, low_noise=LowNoiseExpert(low_noise_model, boundary))
        stages, plan = _planned(base, start.size, plan, factor, overrides or ())
        check_cascade(stages, plan, start)
        results = run_cascade(stages, vae if is_vae(vae) else None, plan, start, _origin(cls))
        images = [result.image for result in results if result.image is not None]
        last, missing = results[-1], ExecutionBlocker(NO_IMAGE)
        final = missing if last.image is None else last.image
        shown = 1 if backbone.is_unet and frames_are_a_batch(model) else SHOWN_PER_STAGE
        return io.NodeOutput(last.latent, final, images or [missing], ui=_stage_previews(cls, images, shown))


def _planned(
    base: Stage, start: Size, plan: CascadePlan | None, factor: float, overrides: tuple[StageOverride, ...]
) -> tuple[list[Stage], CascadePlan]:
    """All stages, the base first, and their plan in whole tokens. A given plan brings its base size."""
    if plan is None:
        plan = _plan_by_factor(base.settings, start, factor, base.backbone.multiple)
        return stages_of(base, plan, overrides), plan
    plan = plan.rounded(base.backbone.multiple)
    return [stage.with_base(plan.base) for stage in stages_of(base, plan, overrides)], plan


def _start(
    model: Model, latent: LatentDict | None, image: Tensor | None, vae: Vae | None, backbone: Backbone
) -> Start:
    """What came in. Frames for a video model are encoded as one video, under which stages are kept, too."""
    if not backbone.is_video or image is None or vae is None or image.shape[0] == 1:
        return start_from(model, latent, image, backbone.cell)
    video: LatentDict = {"samples": encode_video(vae, image, "auto")}
    return dataclasses.replace(start_from(model, video, None, backbone.cell), source=image)


def _origin(cls: type[io.ComfyNode]) -> Hashable:
    """What the node's MODELs, VAE and prompts come from; see `kept.origin_of`."""
    prompt = getattr(getattr(cls, "hidden", None), "prompt", None)
    return origin_of(prompt, _own_id(cls), ORIGIN_INPUTS)


def _own_id(cls: type[io.ComfyNode]) -> str | None:
    """The node's id in the prompt; None outside a server."""
    return getattr(getattr(cls, "hidden", None), "unique_id", None)


def _auto_settings(model: Model) -> FreeScaleSettings:
    log.info("FreeScale: the model carries no FreeScale patch, the preset Auto is applied.")
    return auto_preset(model)


def _plan_by_factor(settings: FreeScaleSettings, start: Size, factor: float, multiple: int) -> CascadePlan:
    """Doubling stages from `start`. Base: the patch's, else the preset's area in the aspect of the start."""
    base = settings.base_for(start)
    stages = doubling_stages(start, enlarged(start, factor, multiple), multiple)
    return CascadePlan(base, stages, method=settings.method)


def _stage_previews(cls: type[io.ComfyNode], images: list[Tensor], per_stage: int) -> ui.PreviewImage | None:
    """The first images of each stage for the node, none larger than the node can show."""
    if not images:
        return None
    previews = [ui.PreviewImage(shrunk(image[:per_stage]), cls=cls) for image in images]
    for preview in previews[1:]:
        previews[0].values.extend(preview.values)
    return previews[0]
