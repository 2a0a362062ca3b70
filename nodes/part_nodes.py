"""The parts of FreeScale, a node each: they set or adjust one part of what a MODEL carries."""

import dataclasses
from typing import Any

from comfy_api.latest import io

from ..freescale_core.geometry import LATENT_CELL, to_cells
from ..freescale_core.settings import DetailRegion, DetailSettings, DilationSettings, FusionSettings
from . import widgets
from .backbones.backbone import auto_preset
from .host.releases import search_aliases
from .host.types import Model
from .input_checks import expect_cells, expect_inputs, size_or_none
from .patching.model import settings_of, with_changes, with_settings
from .widgets import DETAIL_REGIONS_TOOLTIP, MODEL_TOOLTIP, DetailRegionsType

FUSIONS: dict[str, dict[str, Any]] = {
    "exact": {},
    "fast": {"mode": "fast"},
    "off": {},
    "neighbourhood": {"local": "neighbourhoods"},
    "fast neighbourhood": {"mode": "fast", "local": "neighbourhoods"},
}
"""Widget value -> both branches of attention."""
BLUR_AXES = ["3-D (h, w, channel)", "2-D (h, w)"]


class FreeScaleScaleFusion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FreeScaleScaleFusion",
            display_name="FreeScale Scale Fusion",
            category="FreeScale/parts",
            description="Self-attention of two scales in one: detail from windows of the training size, "
            "structure from the whole image.",
            inputs=[
                io.Model.Input("model", tooltip=MODEL_TOOLTIP),
                io.Combo.Input(
                    "mode",
                    options=list(FUSIONS),
                    default="exact",
                    tooltip="Exact as published, fast (global attention in sub-grids) or off.",
                ),
                io.Combo.Input(
                    "blur_axes",
                    options=BLUR_AXES,
                    default=BLUR_AXES[0],
                    tooltip="3-D as in the authors' code, 2-D as in the paper.",
                ),
                io.Float.Input(
                    "sigma",
                    default=1.0,
                    min=0.1,
                    max=8.0,
                    step=0.1,
                    tooltip="Width of the Gaussian in tokens.",
                ),
                io.Boolean.Input(
                    "jitter",
                    default=True,
                    tooltip="Shift the windows at random, so that their borders leave no grid.",
                ),
                widgets.end_percent(1.0, "Share of the noise after which fusion ends: 0.7 = at t 300."),
                widgets.side("window_width", "Window width in pixels of the image; 0 = the base width."),
                widgets.side("window_height", "Window height in pixels of the image; 0 = the base height."),
            ],
            outputs=[widgets.patched_model()],
            **search_aliases("local attention", "msw-msa", "hypertile"),
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        mode: Any,
        blur_axes: str,
        sigma: float,
        jitter: bool,
        end_percent: float,
        window_width: int,
        window_height: int,
    ) -> io.NodeOutput:
        choices = {"mode": mode, "blur_axes": blur_axes}
        sizes = {"window_width": window_width, "window_height": window_height}
        expect_inputs(
            cls.define_schema(), model=model, sigma=sigma, end_percent=end_percent, **choices, **sizes
        )
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
            description="Widens the view of the UNet's deepest convolutions, so that objects are drawn once "
            "and not in every corner.",
            inputs=[
                io.Model.Input("model", tooltip=MODEL_TOOLTIP),
                io.Int.Input(
                    "factor",
                    default=0,
                    min=0,
                    max=16,
                    tooltip="Dilation; 0 = the scale of the run (2 at 2x), 1 = off.",
                ),
                widgets.end_percent(0.7, "Share of the noise after which dilation ends: 0.7 = at t 300."),
            ],
            outputs=[widgets.patched_model()],
            **search_aliases("scalecrafter", "raunet", "dilation"),
        )

    @classmethod
    def execute(cls, model: Any, factor: int, end_percent: float) -> io.NodeOutput:
        expect_inputs(cls.define_schema(), model=model, factor=factor, end_percent=end_percent)
        return io.NodeOutput(
            with_changes(
                _based(model), dilation=None if factor == 1 else DilationSettings(factor or None, end_percent)
            )
        )


class FreeScaleDetailControl(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FreeScaleDetailControl",
            display_name="FreeScale Detail Control",
            category="FreeScale/parts",
            description="Says how long each stage is held to the upscaled image of the stage before.",
            inputs=[
                io.Model.Input("model", tooltip=MODEL_TOOLTIP),
                io.Boolean.Input(
                    "enabled",
                    default=True,
                    tooltip="Off: the stage is free from the first step, as in plain hires-fix.",
                ),
                widgets.alpha("More = more new detail, less = closer to the upscaled image."),
                DetailRegionsType.Input(
                    "detail_regions",
                    optional=True,
                    tooltip=DETAIL_REGIONS_TOOLTIP + " Without: the model keeps those it has.",
                ),
            ],
            outputs=[widgets.patched_model()],
            **search_aliases("cosine scale", "detail", "denoise"),
        )

    @classmethod
    def execute(
        cls, model: Any, enabled: bool, alpha: float, detail_regions: tuple[DetailRegion, ...] | None = None
    ) -> io.NodeOutput:
        expect_inputs(cls.define_schema(), model=model, alpha=alpha)
        based = _based(model)
        before = settings_of(based)
        if detail_regions is None:
            detail_regions = before.detail.regions if before and before.detail else ()
        return io.NodeOutput(
            with_changes(based, detail=DetailSettings(alpha, detail_regions) if enabled else None)
        )


def _based(model: Model) -> Model:
    """The MODEL with the base size of preset Auto and all parts off, unless it carries settings already."""
    if settings_of(model) is not None:
        return model
    settings = dataclasses.replace(auto_preset(model), fusion=None, dilation=None, detail=None, rope=None)
    return with_settings(model, settings)
