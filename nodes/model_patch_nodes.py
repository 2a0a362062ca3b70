"""The patch nodes: FreeScaleModelPatch sets all parts at once, the other three each set or adjust one part."""

import dataclasses
from typing import Any

from comfy_api.latest import io

from ..freescale_core.geometry import LATENT_CELL, Size, to_cells
from ..freescale_core.plan import CascadePlan
from ..freescale_core.presets import PRESETS, SPEEDS
from ..freescale_core.settings import DetailRegion, DetailSettings, DilationSettings, FreeScaleSettings, FusionSettings, PromptRegion
from .auto_preset import AUTO, CUSTOM, PRESET_NAMES, auto_preset
from .host import search_aliases
from .input_checks import expect_cells, expect_inputs, size_or_none
from .plan_node import PlanType
from .region_nodes import DetailRegionsType, PromptRegionsType
from .stage_sampling import settings_of, with_changes, with_settings
from .unet import require_unet

FUSIONS: dict[str, dict[str, Any]] = {
    "exact": {},
    "fast": {"mode": "fast"},
    "off": {},
    "neighbourhood": {"local": "neighbourhoods"},
    "fast neighbourhood": {"mode": "fast", "local": "neighbourhoods"},
}
"""Widget value -> both branches of attention."""
BLUR_AXES = ["3-D (h, w, channel)", "2-D (h, w)"]
MODEL_TOOLTIP = "An SDXL or SD1.5 model. Put FreeScale after LoRAs and other patches."
DETAIL_REGIONS_TOOLTIP = "FreeScale Detail Regions: masks with an alpha of their own. Outside them the alpha above counts."


class FreeScaleModelPatch(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FreeScaleModelPatch",
            display_name="FreeScale Model Patch",
            category="FreeScale",
            description="Makes the model draw coherent pictures far above its training size. At the training size it changes nothing.",
            inputs=[
                io.Model.Input("model", tooltip=MODEL_TOOLTIP),
                io.Combo.Input(
                    "preset",
                    options=PRESET_NAMES,
                    default=AUTO,
                    tooltip="Kind of model. Choose Turbo and few-step models by hand: they look like SDXL.",
                ),
                io.Combo.Input(
                    "speed",
                    options=list(SPEEDS),
                    default=next(iter(SPEEDS)),
                    tooltip="Exact: as published. Balanced: far cheaper at 4k and 8k. Fast: cheaper still, and 15 steps at most in the "
                    "later stages of the cascade. More choice: FreeScale Scale Fusion.",
                ),
                io.Float.Input(
                    "alpha",
                    default=2.0,
                    min=0.0,
                    max=8.0,
                    step=0.05,
                    tooltip="More = more new detail, less = closer to the upscaled picture. 8k: 1 or less.",
                ),
                io.Int.Input(
                    "base_width",
                    default=0,
                    min=0,
                    max=4096,
                    step=8,
                    tooltip="Training width in pixels; 0 = the preset's area in the aspect of the run.",
                ),
                io.Int.Input(
                    "base_height",
                    default=0,
                    min=0,
                    max=4096,
                    step=8,
                    tooltip="Training height in pixels; 0 = the preset's area in the aspect of the run.",
                ),
                PlanType.Input("plan", optional=True, tooltip="A FreeScale plan; its base size wins over the two above."),
                DetailRegionsType.Input("detail_regions", optional=True, tooltip=DETAIL_REGIONS_TOOLTIP),
                PromptRegionsType.Input(
                    "prompt_regions", optional=True, tooltip="FreeScale Prompt Regions: masks with a text of their own in all later stages."
                ),
            ],
            outputs=[io.Model.Output(tooltip="The patched model, good for all stages.")],
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
        detail_regions: tuple[DetailRegion, ...] = (),
        prompt_regions: tuple[PromptRegion, ...] = (),
    ) -> io.NodeOutput:
        choices = {"preset": preset, "speed": speed}
        sizes = {"base_width": base_width, "base_height": base_height}
        expect_inputs(cls.define_schema(), model=model, alpha=alpha, **choices, **sizes)
        require_unet(model)
        settings = dataclasses.replace(
            _preset_settings(model, preset, plan.base if plan else size_or_none(base_width, base_height, "base size")),
            fusion=SPEEDS[speed].fusion,
            most_later_steps=SPEEDS[speed].most_later_steps,
            detail=DetailSettings(alpha, detail_regions),
            prompt_regions=prompt_regions,
        )
        return io.NodeOutput(with_settings(model, settings))


class FreeScaleScaleFusion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FreeScaleScaleFusion",
            display_name="FreeScale Scale Fusion",
            category="FreeScale/parts",
            description="Self-attention of two scales in one: detail from windows of the training size, structure from the whole picture.",
            inputs=[
                io.Model.Input("model", tooltip=MODEL_TOOLTIP),
                io.Combo.Input(
                    "mode",
                    options=list(FUSIONS),
                    default="exact",
                    tooltip="Exact as published, fast (global attention in sub-grids) or off.",
                ),
                io.Combo.Input(
                    "blur_axes", options=BLUR_AXES, default=BLUR_AXES[0], tooltip="3-D as in the authors' code, 2-D as in the paper."
                ),
                io.Float.Input("sigma", default=1.0, min=0.1, max=8.0, step=0.1, tooltip="Width of the Gaussian in tokens."),
                io.Boolean.Input("jitter", default=True, tooltip="Shift the windows at random, so that their borders leave no grid."),
                io.Float.Input(
                    "end_percent",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Share of the noise after which fusion ends: 0.7 = at t 300.",
                ),
                io.Int.Input(
                    "window_width", default=0, min=0, max=4096, step=8, tooltip="Window width in pixels of the picture; 0 = the base width."
                ),
                io.Int.Input(
                    "window_height",
                    default=0,
                    min=0,
                    max=4096,
                    step=8,
                    tooltip="Window height in pixels of the picture; 0 = the base height.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="The patched model.")],
            **search_aliases("local attention", "msw-msa", "hypertile"),
        )

    @classmethod
    def execute(
        cls, model: Any, mode: Any, blur_axes: str, sigma: float, jitter: bool, end_percent: float, window_width: int, window_height: int
    ) -> io.NodeOutput:
        choices = {"mode": mode, "blur_axes": blur_axes}
        sizes = {"window_width": window_width, "window_height": window_height}
        expect_inputs(cls.define_schema(), model=model, sigma=sigma, end_percent=end_percent, **choices, **sizes)
        window = size_or_none(window_width, window_height, "window")
        expect_cells("FreeScale Scale Fusion", "window", window, LATENT_CELL)
        fusion = FusionSettings(
            **FUSIONS[mode],
            over_channels=blur_axes == BLUR_AXES[0],
            sigma=sigma,
            jitter=jitter,
            end_percent=end_percent,
            window=window and to_cells(window),
        )
        return io.NodeOutput(with_changes(_based(model), fusion=None if mode == "off" else fusion))


class FreeScaleDilatedConv(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FreeScaleDilatedConv",
            display_name="FreeScale Dilated Conv",
            category="FreeScale/parts",
            description="Widens the view of the UNet's deepest convolutions, so that objects are drawn once and not in every corner.",
            inputs=[
                io.Model.Input("model", tooltip=MODEL_TOOLTIP),
                io.Int.Input("factor", default=0, min=0, max=16, tooltip="Dilation; 0 = the scale of the run (2 at 2x), 1 = off."),
                io.Float.Input(
                    "end_percent",
                    default=0.7,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Share of the noise after which dilation ends: 0.7 = at t 300.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="The patched model.")],
            **search_aliases("scalecrafter", "raunet", "dilation"),
        )

    @classmethod
    def execute(cls, model: Any, factor: int, end_percent: float) -> io.NodeOutput:
        expect_inputs(cls.define_schema(), model=model, factor=factor, end_percent=end_percent)
        return io.NodeOutput(with_changes(_based(model), dilation=None if factor == 1 else DilationSettings(factor or None, end_percent)))


class FreeScaleDetailControl(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FreeScaleDetailControl",
            display_name="FreeScale Detail Control",
            category="FreeScale/parts",
            description="Says how long each stage is held to the upscaled picture of the stage before.",
            inputs=[
                io.Model.Input("model", tooltip=MODEL_TOOLTIP),
                io.Boolean.Input("enabled", default=True, tooltip="Off: the stage is free from the first step, as in plain hires-fix."),
                io.Float.Input(
                    "alpha",
                    default=2.0,
                    min=0.0,
                    max=8.0,
                    step=0.05,
                    tooltip="More = more new detail, less = closer to the upscaled picture.",
                ),
                DetailRegionsType.Input(
                    "detail_regions", optional=True, tooltip=DETAIL_REGIONS_TOOLTIP + " Without: the model keeps those it has."
                ),
            ],
            outputs=[io.Model.Output(tooltip="The patched model.")],
            **search_aliases("cosine scale", "detail", "denoise"),
        )

    @classmethod
    def execute(cls, model: Any, enabled: bool, alpha: float, detail_regions: tuple[DetailRegion, ...] | None = None) -> io.NodeOutput:
        expect_inputs(cls.define_schema(), model=model, alpha=alpha)
        based = _based(model)
        before = settings_of(based)
        if detail_regions is None:
            detail_regions = before.detail.regions if before and before.detail else ()
        return io.NodeOutput(with_changes(based, detail=DetailSettings(alpha, detail_regions) if enabled else None))


def _preset_settings(model: Any, preset: str, base: Size | None) -> FreeScaleSettings:
    if preset == CUSTOM and base is None:
        raise ValueError(
            "FreeScale Model Patch: preset Custom expects a base size, got 0x0: set base_width and base_height to the training size."
        )
    if preset == AUTO:
        return dataclasses.replace(auto_preset(model), base=base)
    return dataclasses.replace(FreeScaleSettings() if preset == CUSTOM else PRESETS[preset], base=base)


def _based(model: Any) -> Any:
    """The MODEL with the base size of preset Auto and all parts off, unless it carries settings already."""
    if settings_of(model) is not None:
        return model
    require_unet(model)
    return with_settings(model, dataclasses.replace(auto_preset(model), fusion=None, dilation=None, detail=None))
