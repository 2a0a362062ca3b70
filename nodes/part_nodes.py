"""The parts of FreeScale, a node each: they set or adjust one part of what a MODEL carries."""

import dataclasses
from typing import Any

from comfy_api.latest import io

from ..freescale_core.geometry import LATENT_CELL, to_cells
from ..freescale_core.settings import (
    DetailRegion,
    DetailSettings,
    DilationSettings,
    FusionSettings,
    RopeSettings,
)
from . import widgets
from .backbones.backbone import auto_preset
from .host.releases import advanced, search_aliases
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
ROPE_MODES: dict[str, Any] = {"off": None, "NTK": "ntk", "rectified": "rectified"}
"""Widget value -> mode of RopeSettings."""
A_NUMBER = "number"
TEMPERATURES = ["off", "sqrt log", "CineScale", A_NUMBER]
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


class FreeScaleRoPE(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FreeScaleRoPE",
            display_name="FreeScale RoPE",
            category="FreeScale/parts",
            description="Rotary positions of a transformer above its training size: what dilation and fusion "
            "are for a UNet.",
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="FLUX, Chroma, Qwen-Image, Lumina 2, Z-Image or Wan. Put FreeScale after LoRAs "
                    "and other patches.",
                ),
                io.Combo.Input(
                    "mode",
                    options=list(ROPE_MODES),
                    default="NTK",
                    tooltip="NTK turns more slowly and costs nothing. rectified squeezes the positions of "
                    "far keys, in tiles of queries. off = as the model does.",
                ),
                io.Float.Input(
                    "theta_factor",
                    default=0.0,
                    min=0.0,
                    max=1000.0,
                    step=0.1,
                    tooltip="NTK: what theta is multiplied with; 0 = s^(d/(d-2)) of each axis, 20 or 25 for "
                    "CineScale's LoRAs.",
                ),
                io.Combo.Input(
                    "temperature",
                    options=TEMPERATURES,
                    default="off",
                    tooltip="Sharper attention over more tokens: sqrt(log n / log n0), CineScale's, "
                    "or the number below.",
                ),
                io.Float.Input(
                    "temperature_factor",
                    default=1.0,
                    min=0.1,
                    max=4.0,
                    step=0.01,
                    tooltip="Factor on the logits where temperature is number.",
                ),
                widgets.end_percent(
                    1.0, "Share of the noise after which positions are the model's: 0.7 = t 300."
                ),
                *_tokens(
                    "tile", "rectified: queries that share their keys' positions, in tokens; 0 = 0.4 of base."
                ),
                *_tokens(
                    "threshold", "rectified: keys this near a tile keep their positions; 0 = 0.2 of base."
                ),
                *_tokens("max_relative", "rectified: largest distance of a key, in tokens; 0 = base - 1."),
            ],
            outputs=[widgets.patched_model()],
            **search_aliases("ntk", "yarn", "dype", "cinescale", "positional embedding"),
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        mode: str,
        theta_factor: float,
        temperature: Any,
        temperature_factor: float,
        end_percent: float,
        **sides: int,
    ) -> io.NodeOutput:
        numbers = {"theta_factor": theta_factor, "temperature_factor": temperature_factor}
        choices = {"mode": mode, "temperature": temperature, "end_percent": end_percent}
        expect_inputs(cls.define_schema(), model=model, **numbers, **choices, **sides)
        sizes = {
            name: size_or_none(sides.get(f"{name}_width", 0), sides.get(f"{name}_height", 0), name)
            for name in ("tile", "threshold", "max_relative")
        }
        rope = None
        if ROPE_MODES[mode] is not None:
            rope = RopeSettings(
                ROPE_MODES[mode],
                theta_factor or None,
                temperature=temperature_factor if temperature == A_NUMBER else temperature,
                end_percent=end_percent,
                **sizes,
            )
        return io.NodeOutput(with_changes(_based(model), rope=rope))


def _tokens(name: str, tooltip: str) -> list[io.Input]:
    """Width and height of a size in tokens."""
    folded = advanced(io.Int.Input)
    return [
        io.Int.Input(f"{name}_{side}", default=0, min=0, max=1024, tooltip=tooltip, **folded)
        for side in ("width", "height")
    ]


def _based(model: Model) -> Model:
    """The MODEL with the base size of preset Auto and all parts off, unless it carries settings already."""
    if settings_of(model) is not None:
        return model
    settings = dataclasses.replace(auto_preset(model), fusion=None, dilation=None, detail=None, rope=None)
    return with_settings(model, settings)
