"""FreeScaleModelPatch: all parts of FreeScale at once, the node that most people need."""

import dataclasses
from typing import Any

from comfy_api.latest import io

from ..freescale_core.geometry import Size
from ..freescale_core.planning.plan import CascadePlan
from ..freescale_core.presets import PRESETS, SPEEDS, TRANSFORMER
from ..freescale_core.settings import DetailRegion, DetailSettings, FreeScaleSettings, PromptRegion
from . import widgets
from .backbones.backbone import Backbone, auto_preset, backbone_of
from .host.releases import search_aliases
from .input_checks import expect_inputs, size_or_none
from .patching.model import with_settings
from .widgets import AUTO, CUSTOM, DetailRegionsType, PlanType, PromptRegionsType


class FreeScaleModelPatch(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FreeScaleModelPatch",
            display_name="FreeScale Model Patch",
            category="FreeScale",
            description="Makes the model draw coherent images far above its training size. At the training "
            "size it changes nothing.",
            inputs=[
                io.Model.Input("model", tooltip=widgets.ANY_MODEL_TOOLTIP),
                io.Combo.Input(
                    "preset",
                    options=widgets.PRESET_NAMES,
                    default=AUTO,
                    tooltip="Kind of model. Choose Turbo and few-step models by hand: they look like SDXL.",
                ),
                io.Combo.Input(
                    "speed",
                    options=widgets.SPEED_NAMES,
                    default=widgets.SPEED_NAMES[0],
                    tooltip="Exact: as published. Balanced: far cheaper at 4k and 8k. Fast: cheaper still, "
                    "and 15 steps at most in the "
                    "later stages of the cascade. More choice: FreeScale Scale Fusion.",
                ),
                widgets.alpha(
                    "How free the later stages are: 0.5 faithful, 1 balanced, 2 free. More = more new "
                    "detail. 8k: 1 or less."
                ),
                widgets.side(
                    "base_width", "Training width in pixels; 0 = the preset's area in the aspect of the run."
                ),
                widgets.side(
                    "base_height",
                    "Training height in pixels; 0 = the preset's area in the aspect of the run.",
                ),
                PlanType.Input(
                    "plan", optional=True, tooltip="A FreeScale plan; its base size wins over the two above."
                ),
                DetailRegionsType.Input(
                    "detail_regions", optional=True, tooltip=widgets.DETAIL_REGIONS_TOOLTIP
                ),
                PromptRegionsType.Input(
                    "prompt_regions",
                    optional=True,
                    tooltip="FreeScale Prompt Regions: masks with a text of their own in all later stages.",
                ),
                widgets.rope(),
            ],
            outputs=[widgets.patched_model("The patched model, good for all stages.")],
            **search_aliases("high resolution", "4k", "scale fusion", "deep shrink", "hidiffusion"),
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        preset: str,
        speed: str,
        alpha: float,
        base_width: int,
        base_height: int,
        plan: CascadePlan | None = None,
        detail_regions: tuple[DetailRegion, ...] | None = None,
        prompt_regions: tuple[PromptRegion, ...] | None = None,
        rope: str = widgets.ROPE_BY_PRESET,
    ) -> io.NodeOutput:
        choices = {"preset": preset, "speed": speed, "rope": rope}
        sizes = {"base_width": base_width, "base_height": base_height}
        expect_inputs(cls.define_schema(), model=model, alpha=alpha, **choices, **sizes)
        base = plan.base if plan else size_or_none(base_width, base_height, "base size")
        backbone = backbone_of(model)
        found = _preset_settings(model, backbone, preset, base)
        settings = dataclasses.replace(
            found,
            fusion=SPEEDS[speed].fusion if backbone.is_unet else None,
            max_later_steps=SPEEDS[speed].max_later_steps,
            detail=DetailSettings(alpha, detail_regions or ()),
            prompt_regions=prompt_regions or (),
            rope=found.rope if rope == widgets.ROPE_BY_PRESET else widgets.ROPES[rope],
            neighbourhoods=SPEEDS[speed].neighbourhoods and backbone.turns_positions,
        )
        return io.NodeOutput(with_settings(model, settings))


def _preset_settings(model: Any, backbone: Backbone, preset: str, base: Size | None) -> FreeScaleSettings:
    if preset == CUSTOM and base is None:
        raise ValueError(
            "FreeScale Model Patch: preset Custom expects a base size, got 0x0: set base_width and "
            "base_height to the training size."
        )
    if preset == AUTO:
        return dataclasses.replace(auto_preset(model), base=base)
    if preset == CUSTOM:
        start = FreeScaleSettings() if backbone.is_unet else TRANSFORMER
        return dataclasses.replace(backbone.fitted(start), base=base)
    if (PRESETS[preset].dilation is not None) != backbone.is_unet:
        kind = "models without a UNet" if backbone.is_unet else "Stable Diffusion UNets"
        raise ValueError(
            f"FreeScale Model Patch: preset {preset} is for {kind}, got {backbone.name}: choose Auto."
        )
    return dataclasses.replace(backbone.fitted(PRESETS[preset]), base=base)
