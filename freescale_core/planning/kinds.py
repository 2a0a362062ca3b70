"""Kinds of model that a plan can tell the cost of: SDXL, and transformers by what theirs depends on."""

from typing import NamedTuple

SDXL = "SDXL"


class TransformerKind(NamedTuple):
    """A family of transformers, as its widest known member is built.

    width: channels of its layers. token: pixels of a token's side.
    text: tokens of text among those that attend to each other, as many as ComfyUI pads a short prompt to; 0
    where it pads none, or where text has an attention of its own.
    is_video: four frames after the first are one in the latent. has_sdxl_decoder: its VAE decodes by layers
    of the same sizes as SDXL's. has_rope: it has rotary positions, and with them neighbourhoods.
    """

    width: int
    token: int = 16
    text: int = 0
    is_video: bool = False
    has_sdxl_decoder: bool = False
    has_rope: bool = True

    def latent_frames(self, frames: int) -> int:
        """Frames that attend to each other; those of an image model are a batch.

        >>> TRANSFORMERS["Wan 720p (1280x720)"].latent_frames(81)
        21
        """
        return (frames - 1) // LATENT_STEP + 1 if self.is_video else 1


LATENT_STEP = 4
"""Frames that Wan's VAE makes one of."""
TRANSFORMERS = {
    "FLUX.1, Chroma": TransformerKind(3072, text=256, has_sdxl_decoder=True),
    "Qwen-Image": TransformerKind(3072),
    "Lumina 2, Z-Image": TransformerKind(3840, has_sdxl_decoder=True),
    "Wan 720p (1280x720)": TransformerKind(5120, is_video=True),
    "Wan 2.1 1.3B (832x480)": TransformerKind(1536, is_video=True),
    "Wan 2.2 5B (1280x704)": TransformerKind(3072, token=32, is_video=True),
    "SD3.5": TransformerKind(2432, text=154, has_sdxl_decoder=True, has_rope=False),
}
"""By the names of their presets."""
KINDS = (SDXL, *TRANSFORMERS)
