"""Named settings as data: for the model families that FreeScale was made for, and for three speeds."""

import dataclasses
from dataclasses import dataclass, field

from .settings import FreeScaleSettings, FusionSettings, RopeSettings

STEPS = 50
"""Steps of stage 0 in the authors' code."""
SCHEDULER = "ddim_uniform"
"""Their scheduler, by ComfyUI's name."""
TRANSFORMER = FreeScaleSettings(fusion=None, dilation=None, rope=RopeSettings("ntk"), base_step=16)
"""Trained at about a megapixel. Convolutions and windows are a UNet's, rotary positions take their place."""
VIDEO_TRANSFORMER = dataclasses.replace(TRANSFORMER, rope=RopeSettings("rectified"))
"""As CineScale does without LoRAs."""
FEW_STEP = FreeScaleSettings(restart=0.5, restart_range=(400.0, 800.0))

PRESETS = {
    "SDXL": FreeScaleSettings(),
    "SDXL-Turbo": dataclasses.replace(FEW_STEP, base_side=512),
    "SDXL few-step (Lightning, DMD2)": FEW_STEP,
    "SD1.5": FreeScaleSettings(base_side=512),
    "VideoCrafter2": FreeScaleSettings(base_side=405, method="latent bicubic"),
    "SVD": FreeScaleSettings(base_side=768, restart_range=(450.0, 800.0)),
    "FLUX.1, Chroma": TRANSFORMER,
    "Qwen-Image": dataclasses.replace(TRANSFORMER, base_side=1328),
    "Lumina 2, Z-Image": TRANSFORMER,
    "Wan 720p (1280x720)": dataclasses.replace(VIDEO_TRANSFORMER, base_side=960),
    "Wan 2.1 1.3B (832x480)": dataclasses.replace(VIDEO_TRANSFORMER, base_side=632),
    "Wan 2.2 5B (1280x704)": dataclasses.replace(VIDEO_TRANSFORMER, base_side=949, base_step=32),
    "SD3.5": dataclasses.replace(TRANSFORMER, rope=None),
}
"""405^2 is the area of 512 x 320, 768^2 that of 1024 x 576. SVD's steps lie far apart there."""
TRANSFORMER_PRESETS: dict[str, dict[str, tuple[object, ...]]] = {
    "FLUX.1, Chroma": {"image_model": ("flux", "chroma")},
    "Qwen-Image": {"image_model": ("qwen_image",)},
    "Lumina 2, Z-Image": {"image_model": ("lumina2",)},
    "Wan 2.2 5B (1280x704)": {"image_model": ("wan2.1",), "out_dim": (48,)},
    "Wan 2.1 1.3B (832x480)": {"image_model": ("wan2.1",), "dim": (1536,)},
    "Wan 720p (1280x720)": {"image_model": ("wan2.1",)},
    "SD3.5": {"pos_embed_scaling_factor": (None,), "in_channels": (16,), "image_model": (None,)},
}
"""Preset -> what ComfyUI's detection says of a model that it fits; the first that fits counts."""


@dataclass(frozen=True)
class Speed:
    """How the work of the stages above the base is cut down."""

    fusion: FusionSettings = field(default_factory=FusionSettings)
    max_later_steps: int | None = None
    neighbourhoods: bool = False
    """Of transformers, in place of scale fusion's kinds."""


SPEEDS = {
    "Exact": Speed(),
    "Balanced": Speed(FusionSettings(mode="fast"), neighbourhoods=True),
    "Fast": Speed(
        FusionSettings(mode="fast", local="neighbourhoods"), max_later_steps=15, neighbourhoods=True
    ),
}
"""Exact equals the authors' code.

What the others cost and what they do to the images: docs/PERFORMANCE.md, docs/QUALITY.md.
"""
