"""FreeScalePlan: base size and target -> the stages of a cascade, before anything runs."""

from typing import Any

import comfy.samplers
from comfy_api.latest import io

from ..freescale_core.geometry import LATENT_CELL, Size, scale_between, scaled
from ..freescale_core.plan import CascadePlan, stages_by_factors
from ..freescale_core.plan_report import describe
from ..freescale_core.presets import PRESETS
from ..freescale_core.stages import doubling_stages
from .host import advanced, search_aliases
from .input_checks import expect_inputs, size_or_none

PlanType = io.Custom("FREESCALE_PLAN")
BY_FACTOR, BY_MEGAPIXELS, BY_SIZE, BY_LIST = "factor", "megapixels", "width x height", "list of factors"
TARGETS = [BY_FACTOR, BY_MEGAPIXELS, BY_SIZE, BY_LIST]
SAME = "as in stage 0"
SQUARE = Size(1, 1)


class FreeScalePlan(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        samplers = [SAME, *comfy.samplers.KSampler.SAMPLERS]
        schedulers = [SAME, *comfy.samplers.KSampler.SCHEDULERS]
        folded = advanced(io.Int.Input)
        return io.Schema(
            node_id="FreeScalePlan",
            display_name="FreeScale Plan",
            category="FreeScale",
            description="Says which sizes a cascade goes through and how. Feed it to FreeScale Cascade and FreeScale Model Patch.",
            inputs=[
                io.Int.Input(
                    "base_width", default=1024, min=0, max=4096, step=8, tooltip="Training width in pixels: SDXL 1024, Turbo and SD1.5 512."
                ),
                io.Int.Input(
                    "base_height",
                    default=1024,
                    min=0,
                    max=4096,
                    step=8,
                    tooltip="Training height. Both 0: SDXL's area in the target's aspect.",
                ),
                io.Combo.Input(
                    "target", options=TARGETS, default=BY_FACTOR, tooltip="Which of the four inputs below says how large the result is."
                ),
                io.Float.Input(
                    "factor", default=2.0, min=1.1, max=16.0, step=0.05, tooltip="Target over base, per side: 2 = 2k, 4 = 4k, 8 = 8k."
                ),
                io.Float.Input(
                    "megapixels", default=4.0, min=0.1, max=268.0, step=0.1, tooltip="Area of the target in units of 1024 x 1024 pixels."
                ),
                io.Int.Input("width", default=2048, min=64, max=16384, step=8, tooltip="Target width in pixels."),
                io.Int.Input("height", default=2048, min=64, max=16384, step=8, tooltip="Target height in pixels."),
                io.String.Input("factors", default="2, 4", tooltip="All stages as factors over the base, for example 1.5, 3."),
                io.Float.Input(
                    "restart",
                    default=0.0,
                    min=0.0,
                    max=0.95,
                    step=0.01,
                    tooltip="Share of the noise that later stages skip: 0.3 = they begin at the first step with t up to 700. "
                    "0 = the preset's (0.3, few-step models 0.5).",
                ),
                io.Combo.Input(
                    "method", options=["bicubic", "lanczos"], default="bicubic", tooltip="How pictures are enlarged between stages."
                ),
                io.Combo.Input(
                    "tiling",
                    options=["auto", "on", "off"],
                    default="auto",
                    tooltip="VAE in tiles: auto decides from size and total memory.",
                ),
                io.Int.Input(
                    "later_steps",
                    default=0,
                    min=0,
                    max=10000,
                    tooltip="Steps of the full schedule in later stages; 0 = as in stage 0.",
                    **folded,
                ),
                io.Combo.Input("later_sampler", options=samplers, default=SAME, tooltip="Sampler of later stages.", **folded),
                io.Combo.Input("later_scheduler", options=schedulers, default=SAME, tooltip="Scheduler of later stages.", **folded),
                io.UpscaleModel.Input(
                    "upscale_model", optional=True, tooltip="Enlarges the pictures between stages before the exact resize."
                ),
            ],
            outputs=[
                PlanType.Output(display_name="plan", tooltip="For FreeScale Cascade and FreeScale Model Patch."),
                io.String.Output(display_name="text", tooltip="The stages in words."),
            ],
            **search_aliases("stages", "self cascade", "target size", "megapixels"),
        )

    @classmethod
    def execute(
        cls,
        base_width: int,
        base_height: int,
        target: str,
        factor: float,
        megapixels: float,
        width: int,
        height: int,
        factors: str,
        restart: float,
        method: Any,
        tiling: Any,
        later_steps: int,
        later_sampler: str,
        later_scheduler: str,
        upscale_model: Any = None,
    ) -> io.NodeOutput:
        sizes = {"base_width": base_width, "base_height": base_height, "width": width, "height": height}
        others = {"target": target, "factor": factor, "megapixels": megapixels, "factors": factors}
        ways = {"restart": restart, "method": method, "tiling": tiling}
        later = {"later_steps": later_steps, "later_sampler": later_sampler, "later_scheduler": later_scheduler}
        expect_inputs(cls.define_schema(), **sizes, **others, **ways, **later)
        base = size_or_none(base_width, base_height, "base size") or _auto_base(target, Size(height, width))
        plan = CascadePlan(
            base=base,
            stages=_stages(base, target, factor, megapixels, Size(height, width), factors),
            restart=restart or None,
            method=method,
            tiling=tiling,
            steps=later_steps or None,
            sampler_name=None if later_sampler == SAME else later_sampler,
            scheduler=None if later_scheduler == SAME else later_scheduler,
            upscale_model=upscale_model,
        )
        return io.NodeOutput(plan, describe(plan))


def _auto_base(target: str, size: Size) -> Size:
    return PRESETS["SDXL"].base_for(size if target == BY_SIZE else SQUARE)


def _stages(base: Size, target: str, factor: float, megapixels: float, size: Size, factors: str) -> tuple[Size, ...]:
    if target == BY_LIST:
        return stages_by_factors(base, factors)
    if target == BY_SIZE:
        return doubling_stages(base, size)
    if target == BY_MEGAPIXELS:
        factor = scale_between(base, Size(1024, 1024)) * megapixels**0.5
    return doubling_stages(base, scaled(base, factor, LATENT_CELL))
