"""FreeScale as the nodes do it, its speeds, and without one part each (the paper's Table 3).

The knob is alpha: how soon eq. 4 lets go of the enlarged image.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from freescale_pack.freescale_core.settings import FreeScaleSettings
from freescale_pack.nodes.model_patch_node import FreeScaleModelPatch
from freescale_pack.nodes.patching.model import settings_of, with_settings
from torch import Tensor

import nodes as host_nodes
from tools.bench.picture_quality.families.dilated_layers import deepest_up_convs, with_dilated_layers
from tools.bench.picture_quality.families.family import TABLES, Family, without_knob
from tools.bench.picture_quality.painter import Latent, Painter, Pixels, Shot

RESTART = 0.3
LAST_DILATED = 300
"""Timestep t down to which the paper dilates."""
Change = Callable[[FreeScaleSettings], FreeScaleSettings]


def patched(
    model: Any, base: Pixels, alpha: float, speed: str = "Exact", change: Change | None = None
) -> Any:
    """The MODEL as FreeScale Model Patch leaves it, with the settings changed."""
    model = FreeScaleModelPatch.execute(model, "Auto", speed, alpha, *base).result[0]
    return model if change is None else with_settings(model, change(settings_of(model)))


def paint(
    painter: Painter, shot: Shot, alpha: float, speed: str = "Exact", change: Change | None = None
) -> Tensor:
    """FreeScaleCascade's image: bit for bit, as long as nothing is changed."""
    model = patched(painter.model, shot.base, alpha, speed, change)
    most = settings_of(model).max_later_steps
    steps = min(painter.sampling.steps, most) if most else None
    return painter.through_stages(shot, model, RESTART, steps=steps)


def hold_alone(settings: FreeScaleSettings) -> FreeScaleSettings:
    """Eq. 4 without fusion and dilation."""
    return replace(settings, fusion=None, dilation=None)


def in_latents(painter: Painter, shot: Shot, alpha: float) -> Tensor:
    """Latent upsampling in place of RGB upsampling."""

    def enlarge(latent: Latent, size: Pixels) -> Latent:
        return host_nodes.LatentUpscale().upscale(latent, "bicubic", *size, "disabled")[0]

    return painter.through_stages(shot, patched(painter.model, shot.base, alpha), RESTART, enlarge=enlarge)


def with_dilated_up_blocks(painter: Painter, shot: Shot, alpha: float) -> Tensor:
    """The deepest up blocks are dilated as well, which the product does not do."""
    model = with_dilated_layers(
        patched(painter.model, shot.base, alpha),
        shot.base,
        lambda unet, t, factor: [(deepest_up_convs(unet), factor)] if t >= LAST_DILATED else [],
    )
    return painter.through_stages(shot, model, RESTART)


def direct(painter: Painter, shot: Shot) -> Tensor:
    """Fusion and dilation in sampling from pure noise: what they do without eq. 4."""
    return painter.direct(shot, patched(painter.model, shot.base, 0.0))


def _part(name: str, label: str, note: str, change: Change) -> Family:
    return Family(name, label, "alpha", (0.5, 2.0), partial(paint, change=change), note, at_4x=(1.0,))


ALPHAS = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0)
FAMILIES = (
    Family(
        "freescale",
        "FreeScale",
        "alpha",
        ALPHAS,
        paint,
        "the cascade as the nodes do it, restart 0.3. Before each step a share of the latent is replaced "
        "by the enlarged image, noised as much (eq. 4); a larger alpha lets go of it sooner. Scale fusion "
        "has the 3-D blur of the authors' release. FreeU, which their release and our templates for SDXL "
        "switch on, is off.",
        1,
        TABLES,
        (0.5, 1.0, 2.0),
    ),
    Family(
        "balanced",
        "speed Balanced",
        "alpha",
        (0.5, 2.0),
        partial(paint, speed="Balanced"),
        "FreeScale at the node's speed of that name: its fusion is cheaper.",
        at_4x=(1.0,),
    ),
    Family(
        "fast",
        "speed Fast",
        "alpha",
        (0.5, 2.0),
        partial(paint, speed="Fast"),
        "FreeScale at the node's speed of that name: fusion cheaper still, and a schedule of at most 15 "
        "steps.",
        at_4x=(1.0,),
    ),
    _part(
        "no_fusion",
        "FreeScale without fusion",
        "ordinary self-attention over the whole image.",
        lambda s: replace(s, fusion=None),
    ),
    _part(
        "no_dilation",
        "FreeScale without dilation",
        "ordinary convolutions.",
        lambda s: replace(s, dilation=None),
    ),
    _part(
        "blur_2d",
        "FreeScale, 2-D blur",
        "scale fusion with the blur of the paper's eq. 7, over height and width; the release's goes over "
        "the channels as well.",
        lambda s: replace(s, fusion=replace(s.fusion, over_channels=False)),
    ),
    Family(
        "dilated_up",
        "FreeScale, dilated up blocks",
        "alpha",
        (1.0,),
        with_dilated_up_blocks,
        "the deepest up blocks are dilated as well.",
        3,
        ("2x",),
    ),
    Family(
        "latent",
        "FreeScale, latent upsampling",
        "alpha",
        (1.0,),
        in_latents,
        "the latent is enlarged, and not the decoded image.",
        3,
        ("2x",),
    ),
    without_knob(
        "direct_parts",
        "direct, with fusion and dilation",
        direct,
        "sampling from noise at the target size with these two parts and without eq. 4.",
        rank=3,
    ),
)
