"""The region nodes: masks with an alpha or a text of their own, as chains that FreeScaleModelPatch takes."""

import logging
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..freescale_core.detail import alpha_map
from ..freescale_core.geometry import Size, scaled
from ..freescale_core.settings import DetailRegion, DetailSettings, PromptRegion
from . import widgets
from .host.releases import advanced, search_aliases
from .input_checks import expect_inputs, expect_mask
from .widgets import DetailRegionsType, PromptRegionsType

log = logging.getLogger("FreeScale")
WHITE = 4.0
"""The alpha that is drawn white; the usual 2 is then middle grey."""
MAP_SIDE = 1024
MAIN_PROMPT_KEYS = {"pooled_output", "width", "height", "crop_w", "crop_h", "target_width", "target_height"}
"""What text encoder nodes add to a prompt and what is taken from the main prompt on purpose."""


class FreeScaleDetailRegion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FreeScaleDetailRegion",
            display_name="FreeScale Detail Region",
            category="FreeScale/regions",
            description="Gives a masked part of the image an alpha of its own: more detail on a face, a "
            "background that stays blurred.",
            inputs=[
                io.Mask.Input(
                    "mask",
                    tooltip="Where the alpha counts. Any size, soft or hard; several masks = one for each "
                    "image.",
                ),
                widgets.alpha(
                    "More = more new detail inside the mask, less = closer to the upscaled image.", 3.0
                ),
                io.Float.Input(
                    "feather",
                    default=0.05,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Width of the soft edge as a share of the image's shorter side; 0 = the mask "
                    "as it is.",
                ),
                io.Boolean.Input(
                    "binary",
                    default=False,
                    tooltip="As in the authors' code: all of the mask that is not black counts as white, "
                    "without smoothing when resized.",
                    **advanced(io.Boolean.Input),
                ),
                DetailRegionsType.Input(
                    "regions", optional=True, tooltip="Earlier regions; this one lies on top of them."
                ),
            ],
            outputs=[
                DetailRegionsType.Output(
                    display_name="regions",
                    tooltip="All regions so far, for FreeScale Model Patch or another region.",
                ),
                io.Image.Output(
                    display_name="alpha map",
                    tooltip="alpha as grey: black 0, middle grey 2, white 4 and more. Outside drawn at the "
                    "usual 2.",
                ),
            ],
            **search_aliases("mask", "region", "regional detail", "alpha map"),
        )

    @classmethod
    def execute(
        cls,
        mask: Any,
        alpha: float,
        feather: float,
        binary: bool,
        regions: tuple[DetailRegion, ...] | None = None,
    ) -> io.NodeOutput:
        expect_inputs(cls.define_schema(), alpha=alpha, feather=feather)
        region = DetailRegion(expect_mask("FreeScale Detail Region", mask), alpha, feather, binary)
        chain = (*(regions or ()), region)
        return io.NodeOutput(chain, _map_image(chain))


class FreeScalePromptRegion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FreeScalePromptRegion",
            display_name="FreeScale Prompt Region",
            category="FreeScale/regions",
            description="Gives a masked part of the image a text of its own in all stages above the base "
            "size. Costs little time.",
            inputs=[
                io.Conditioning.Input(
                    "conditioning", tooltip="What the masked part should show. Only its text is used."
                ),
                io.Mask.Input(
                    "mask",
                    tooltip="Where the text counts. Any size, soft or hard; several masks = one for each "
                    "image.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="1 = this text instead of what lies below, 0 = no effect.",
                ),
                PromptRegionsType.Input(
                    "regions", optional=True, tooltip="Earlier regions; this one lies on top of them."
                ),
            ],
            outputs=[
                PromptRegionsType.Output(
                    display_name="regions",
                    tooltip="All regions so far, for FreeScale Model Patch or another region.",
                )
            ],
            **search_aliases("regional prompt", "mask", "attention couple", "local editing", "area prompt"),
        )

    @classmethod
    def execute(
        cls, conditioning: Any, mask: Any, strength: float, regions: tuple[PromptRegion, ...] | None = None
    ) -> io.NodeOutput:
        expect_inputs(cls.define_schema(), strength=strength)
        region = PromptRegion(_text(conditioning), expect_mask("FreeScale Prompt Region", mask), strength)
        return io.NodeOutput((*(regions or ()), region))


def _map_image(regions: tuple[DetailRegion, ...]) -> Tensor:
    """The alpha map as IMAGE (b, h, w, 3).

    In the size of the last region's mask, unless that is very large.
    """
    batch, *sides = regions[-1].mask.shape
    size = scaled(Size(*sides), min(1.0, MAP_SIDE / max(sides)), 1)
    alpha = alpha_map(DetailSettings().alpha, regions, batch, size)
    return (alpha / WHITE).clamp(0, 1).float().movedim(1, -1).repeat(1, 1, 1, 3)


def _text(conditioning: Any) -> Tensor:
    """The tokens (b, tokens, channels) of a CONDITIONING that holds one text."""
    if not conditioning:
        raise ValueError("FreeScale Prompt Region expects one text, got none: connect a text.")
    if len(conditioning) != 1:
        raise ValueError(
            f"FreeScale Prompt Region expects one text, got {len(conditioning)} combined ones: "
            "join them with Conditioning (Concat) or give each a region of its own."
        )
    [[text, extras]] = conditioning
    ignored = sorted(extras.keys() - MAIN_PROMPT_KEYS)
    if ignored:
        log.warning("FreeScale Prompt Region takes the text alone and ignores: %s.", ", ".join(ignored))
    return text
