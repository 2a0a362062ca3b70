"""FreeScalePlan: base size and target -> the stages of a cascade, before anything runs."""

from typing import Any

import comfy.samplers
from comfy_api.latest import io

from ..freescale_core.geometry import MEGAPIXEL, MIN_BASE_SIDE, Size, enlarged, scale_between
from ..freescale_core.planning.kinds import KINDS, SDXL
from ..freescale_core.planning.plan import CascadePlan, stages_by_factors
from ..freescale_core.planning.report import describe
from ..freescale_core.planning.stages import doubling_stages
from ..freescale_core.presets import PRESETS
from . import widgets
from .host.releases import advanced, search_aliases
from .input_checks import expect_inputs, size_or_none
from .plan_fit import Card, fit_line
from .widgets import PlanType

BY_FACTOR, BY_MEGAPIXELS, BY_SIZE, BY_LIST = "factor", "megapixels", "width x height", "list of factors"
TARGETS = {
    BY_FACTOR: ("factor",),
    BY_MEGAPIXELS: ("megapixels",),
    BY_SIZE: ("width", "height"),
    BY_LIST: ("factors",),
}
"""What may say how large the result is, and the inputs that say it."""
PRESETS_RESTART = -1.0
"""Widget value for the restart of the model's preset."""
SDXL_SIDE = PRESETS["SDXL"].base_side
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
            description="Says which sizes a cascade goes through and how. Feed it to FreeScale Cascade and "
            "FreeScale Model Patch.",
            inputs=[
                widgets.side(
                    "base_width", "Training width in pixels: SDXL 1024, Turbo and SD1.5 512.", SDXL_SIDE
                ),
                widgets.side(
                    "base_height", "Training height. Both 0: SDXL's area in the target's aspect.", SDXL_SIDE
                ),
                io.Combo.Input(
                    "target",
                    options=list(TARGETS),
                    default=BY_FACTOR,
                    tooltip="Which of the four inputs below says how large the result is.",
                ),
                widgets.factor("Target over base, per side: 2 = 2k, 4 = 4k, 8 = 8k."),
                io.Float.Input(
                    "megapixels",
                    default=4.0,
                    min=0.1,
                    max=268.0,
                    step=0.1,
                    tooltip="Area of the target in units of 1024 x 1024 pixels.",
                ),
                widgets.target_side("width", "Target width in pixels.", 2048, MIN_BASE_SIDE),
                widgets.target_side("height", "Target height in pixels.", 2048, MIN_BASE_SIDE),
                io.String.Input(
                    "factors",
                    default="2, 4",
                    tooltip="All stages as factors over the base, for example 1.5, 3.",
                ),
                io.Float.Input(
                    "restart",
                    default=PRESETS_RESTART,
                    min=PRESETS_RESTART,
                    max=0.95,
                    step=0.01,
                    tooltip="Share of the noise that later stages skip: 0.3 = they begin at the first step "
                    "with t up to 700, "
                    "0 = at the first step. -1 = the preset's (0.3, few-step models 0.5).",
                ),
                widgets.method("How stages are enlarged: as images, or as latents without the VAE (videos)."),
                widgets.tiling("VAE in tiles: auto decides from size and total memory."),
                io.Int.Input(
                    "later_steps",
                    default=0,
                    min=0,
                    max=10000,
                    tooltip="Steps of the full schedule in later stages; 0 = as in stage 0.",
                    **folded,
                ),
                io.Combo.Input(
                    "later_sampler",
                    options=samplers,
                    default=SAME,
                    tooltip="Sampler of later stages.",
                    **folded,
                ),
                io.Combo.Input(
                    "later_scheduler",
                    options=schedulers,
                    default=SAME,
                    tooltip="Scheduler of later stages.",
                    **folded,
                ),
                widgets.upscale_model("Enlarges the images between stages before the exact resize."),
                io.Int.Input(
                    "frames",
                    default=1,
                    min=1,
                    max=widgets.MAX_FRAMES,
                    optional=True,
                    tooltip="Frames of a video, 1 = an image. Cost and memory are told for all of them; the "
                    "stages stay the same.",
                ),
                io.Combo.Input(
                    "kind",
                    options=list(KINDS),
                    default=SDXL,
                    optional=True,
                    tooltip="Kind of model that cost and memory are told for; of transformers tokens and "
                    "operations. The stages stay the same.",
                ),
            ],
            outputs=[
                PlanType.Output(
                    display_name="plan", tooltip="For FreeScale Cascade and FreeScale Model Patch."
                ),
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
        frames: int = 1,
        kind: str = SDXL,
    ) -> io.NodeOutput:
        sizes = {"base_width": base_width, "base_height": base_height, "width": width, "height": height}
        others = {"target": target, "factor": factor, "megapixels": megapixels, "factors": factors}
        ways = {"restart": restart, "method": method, "tiling": tiling}
        later = {
            "later_steps": later_steps,
            "later_sampler": later_sampler,
            "later_scheduler": later_scheduler,
            "frames": frames,
            "kind": kind,
        }
        expect_inputs(cls.define_schema(), **sizes, **others, **ways, **later)
        base = size_or_none(base_width, base_height, "base size") or _auto_base(target, Size(height, width))
        plan = CascadePlan(
            base=base,
            stages=_stages(base, target, factor, megapixels, Size(height, width), factors),
            restart=None if restart == PRESETS_RESTART else restart,
            method=method,
            tiling=tiling,
            steps=later_steps or None,
            sampler_name=None if later_sampler == SAME else later_sampler,
            scheduler=None if later_scheduler == SAME else later_scheduler,
            upscale_model=upscale_model,
            frames=frames,
            kind=kind,
        )
        return io.NodeOutput(plan, f"{describe(plan)}\n{fit_line(plan, Card.of_this_server())}")


def _auto_base(target: str, size: Size) -> Size:
    return PRESETS["SDXL"].base_for(size if target == BY_SIZE else SQUARE)


def _stages(
    base: Size, target: str, factor: float, megapixels: float, size: Size, factors: str
) -> tuple[Size, ...]:
    if target == BY_LIST:
        return stages_by_factors(base, factors)
    if target == BY_SIZE:
        return doubling_stages(base, size)
    if target == BY_MEGAPIXELS:
        factor = scale_between(base, MEGAPIXEL) * megapixels**0.5
    return doubling_stages(base, enlarged(base, factor))
