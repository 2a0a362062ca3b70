"""Socket types, choices and inputs that several nodes share."""

from typing import Any

from comfy_api.latest import io

from ..freescale_core.geometry import LATENT_CELL, MAX_SIDE, MIN_SCALE
from ..freescale_core.planning.plan import MAX_SCALE, METHODS, TILINGS
from ..freescale_core.presets import PRESETS, SPEEDS
from ..freescale_core.settings import DetailSettings, RopeSettings

PlanType = io.Custom("FREESCALE_PLAN")
OverridesType = io.Custom("FREESCALE_STAGE_OVERRIDES")
DetailRegionsType = io.Custom("FREESCALE_DETAIL_REGIONS")
PromptRegionsType = io.Custom("FREESCALE_PROMPT_REGIONS")

AUTO, CUSTOM = "Auto", "Custom"
PRESET_NAMES = [AUTO, *PRESETS, CUSTOM]
SPEED_NAMES = list(SPEEDS)
ROPE_BY_PRESET = "by preset"
ROPES: dict[str, RopeSettings | None] = {
    "off": None,
    "NTK": RopeSettings("ntk"),
    "rectified": RopeSettings("rectified"),
}
"""Widget value -> rotary positions, beside those of the preset."""
MAX_FRAMES = 4096
"""Of a video."""
MAX_ALPHA = 8.0
MAX_BASE_SIDE = 4096
"""Pixels. Larger than any model is trained for."""
MODEL_TOOLTIP = "An SDXL or SD1.5 model. Put FreeScale after LoRAs and other patches."
ANY_MODEL_TOOLTIP = (
    "SDXL, SD1.5, or a flow model: FLUX, Qwen-Image, Lumina 2, Z-Image, Wan, SD3.5. Put FreeScale after "
    "LoRAs and other patches."
)
DETAIL_REGIONS_TOOLTIP = (
    "FreeScale Detail Regions: masks with an alpha of their own. Outside them the alpha above counts."
)


def alpha(tooltip: str, default: float = DetailSettings().alpha) -> io.Input:
    return io.Float.Input("alpha", default=default, min=0.0, max=MAX_ALPHA, step=0.05, tooltip=tooltip)


def end_percent(default: float, tooltip: str) -> io.Input:
    return io.Float.Input("end_percent", default=default, min=0.0, max=1.0, step=0.01, tooltip=tooltip)


def side(
    name: str, tooltip: str, default: int = 0, min_side: int = 0, max_side: int = MAX_BASE_SIDE
) -> io.Input:
    """A width or a height in pixels."""
    return io.Int.Input(name, default=default, min=min_side, max=max_side, step=LATENT_CELL, tooltip=tooltip)


def target_side(name: str, tooltip: str, default: int = 0, min_side: int = 0) -> io.Input:
    """A width or a height of a result in pixels."""
    return side(name, tooltip, default, min_side, MAX_SIDE)


def factor(tooltip: str, min_factor: float = MIN_SCALE) -> io.Input:
    """How many times larger, per side."""
    return io.Float.Input("factor", default=2.0, min=min_factor, max=MAX_SCALE, step=0.05, tooltip=tooltip)


def cfg(default: float, tooltip: str) -> io.Input:
    return io.Float.Input("cfg", default=default, min=0.0, max=100.0, step=0.1, round=0.01, tooltip=tooltip)


def rope() -> io.Input:
    return io.Combo.Input(
        "rope",
        options=[ROPE_BY_PRESET, *ROPES],
        default=ROPE_BY_PRESET,
        optional=True,
        tooltip="Rotary positions of transformers above the training size. NTK costs nothing, rectified "
        "keeps every key within the training size.",
    )


def method(tooltip: str) -> io.Input:
    return io.Combo.Input("method", options=list(METHODS), default=METHODS[0], tooltip=tooltip)


def tiling(tooltip: str) -> io.Input:
    return io.Combo.Input("tiling", options=list(TILINGS), default=TILINGS[0], tooltip=tooltip)


def upscale_model(tooltip: str) -> io.Input:
    return io.UpscaleModel.Input("upscale_model", optional=True, tooltip=tooltip)


def patched_model(tooltip: str = "The patched model.") -> Any:
    return io.Model.Output(tooltip=tooltip)
