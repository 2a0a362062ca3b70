"""What the network of a MODEL is, by its structure: the parts of FreeScale it takes, and its latent grid."""

import dataclasses
import logging
from dataclasses import dataclass
from typing import Any

from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.model_sampling import CONST

from ...freescale_core.geometry import LATENT_CELL, Size
from ...freescale_core.presets import PRESETS, TRANSFORMER, TRANSFORMER_PRESETS
from ...freescale_core.settings import FreeScaleSettings
from ..host.releases import latent_cell
from ..host.types import Model
from . import unet
from .transformer import embedder_name, patch_of

log = logging.getLogger("FreeScale")


@dataclass(frozen=True)
class Backbone:
    """A network that FreeScale can work with.

    name: of its classes, for messages. is_unet: it has blocks for scale fusion, dilation and prompt regions.
    turns_positions: it has rotary positions over y and x. cell: pixels of a latent cell. patch: latent cells
    of a token. is_video: its latents have frames. max_tokens: longest side of its table of positions; None =
    it has none.
    """

    name: str
    is_unet: bool
    turns_positions: bool
    cell: int
    patch: Size
    is_video: bool = False
    max_tokens: int | None = None

    @property
    def multiple(self) -> int:
        """Pixels that the sides of an image should be multiples of."""
        return self.cell * max(self.patch)

    def takes(self, latent_axes: int) -> bool:
        """Whether FreeScale acts on latents (b, c, h, w), or also on videos (b, c, t, h, w)."""
        return latent_axes == 4 or (latent_axes == 5 and not self.is_unet)

    def fitted(self, preset: FreeScaleSettings) -> FreeScaleSettings:
        """A preset, without rotary positions if none are found in the network (Nunchaku wraps FLUX's)."""
        if self.turns_positions or preset.rope is None:
            return preset
        return dataclasses.replace(preset, rope=None)

    def expect_fits(self, cells: Size) -> None:
        """Raise ValueError if a latent of `cells` is larger than the network's table of positions."""
        if self.max_tokens is not None and max(cells) > self.max_tokens * max(self.patch):
            most, got = self.max_tokens * self.multiple, max(cells) * self.cell
            raise ValueError(
                f"FreeScale: {self.name} has a table of positions for sides of up to {most} pixels, got "
                f"{got}: choose a smaller target."
            )


def backbone_of(model: Model) -> Backbone:
    """What a MODEL's network is.

    Raises:
        ValueError: it is neither a Stable Diffusion UNet nor a flow model.
    """
    network = model.get_model_object("diffusion_model")
    network = getattr(network, "_orig_mod", network)  # Compiled by a node of another pack.
    name = f"{type(model.model).__name__} with {type(network).__name__}"
    is_unet = isinstance(network, UNetModel)
    if not is_unet and not isinstance(getattr(model.model, "model_sampling", None), CONST):
        raise ValueError(
            "FreeScale needs a Stable Diffusion UNet (SDXL and its relatives, SD1.5) or a flow model (FLUX, "
            f"Qwen-Image, Lumina 2, Z-Image, Wan, SD3.5), got {name}: load such a model, or feed this "
            "model's image to FreeScale with an SDXL model as an IMAGE."
        )
    if is_unet:
        return Backbone(name, True, False, LATENT_CELL, Size(1, 1))
    turns = embedder_name(network) is not None
    table = getattr(network, "pos_embed_max_size", None) if not turns else None
    patch = getattr(network, "patch_size", None)
    is_video = isinstance(patch, list | tuple) and len(patch) == 3
    return Backbone(name, False, turns, latent_cell(model), patch_of(network), is_video, table)


def auto_preset(model: Model) -> FreeScaleSettings:
    """The preset that fits a MODEL; see `unet.auto_preset` for UNets.

    Others are known by the name that ComfyUI's own detection gives them.
    """
    backbone = backbone_of(model)
    if backbone.is_unet:
        return unet.auto_preset(model)
    config: dict[str, Any] = model.model.model_config.unet_config
    for preset, marks in TRANSFORMER_PRESETS.items():
        if all(config.get(key) in values for key, values in marks.items()):
            return backbone.fitted(PRESETS[preset])
    log.warning(
        "FreeScale: preset Auto does not know this model and takes the base size 1024: set the base size by "
        "hand."
    )
    return backbone.fitted(TRANSFORMER)


def require_unet(model: Model, what: str) -> None:
    """Raise ValueError unless the MODEL is a Stable Diffusion UNet. what: the part that needs one."""
    backbone = backbone_of(model)
    if not backbone.is_unet:
        raise ValueError(
            f"{what} needs a Stable Diffusion UNet (SDXL and its relatives, SD1.5), got {backbone.name}: "
            "take FreeScale Model Patch for this model."
        )
