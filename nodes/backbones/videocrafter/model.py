"""VideoCrafter2 as ComfyUI's samplers see a model."""

from typing import Any

import comfy.latent_formats
import torch
from comfy.conds import CONDConstant
from comfy.ldm.modules.diffusionmodules.util import timestep_embedding
from comfy.model_base import BaseModel, ModelType
from comfy.supported_models_base import BASE
from comfy.utils import state_dict_prefix_replace
from torch import Tensor

from .network import VideoCrafterUNet
from .schedule import VideoCrafterSchedule

DEFAULT_FPS = 16
"""What the authors' code takes where nothing is said."""
RENAMED = {"fps_embedding.": "label_emb.0.", "init_attn.0.": "input_blocks.0.1."}
"""The published names that ComfyUI's UNet has other names for."""


class VideoCrafter2(BaseModel):
    """The diffusion model: a latent of shape (frames, 4, h, w) is one video."""

    def __init__(self, model_config: "VideoCrafter2Config", device: Any = None) -> None:
        super().__init__(model_config, ModelType.EPS, device=device, unet_model=VideoCrafterUNet)
        self.model_sampling = VideoCrafterSchedule(model_config, model_config.scale)

    def encode_adm(self, **kwargs: Any) -> Tensor:
        """Frames per second of the conditioning, as the network's sines: (1, c)."""
        fps = torch.tensor([float(kwargs.get("fps", DEFAULT_FPS))])
        embedded: Tensor = timestep_embedding(fps, self.adm_channels)
        return embedded

    def extra_conds(self, **kwargs: Any) -> dict[str, Any]:
        """What the network gets besides the latent.

        Raises:
            ValueError: the latent is one of another kind of video model.
        """
        noise = kwargs["noise"]
        if noise.ndim != 4:
            raise ValueError(
                "VideoCrafter2 expects a latent of shape (frames, 4, height, width), got "
                f"{tuple(noise.shape)}: take VideoCrafter2 Text to Video, or Empty Latent Image with "
                "batch size = frames."
            )
        conds: dict[str, Any] = super().extra_conds(**kwargs)
        conds["num_video_frames"] = CONDConstant(noise.shape[0])
        return conds


class VideoCrafter2Config(BASE):
    """What ComfyUI asks of a kind of model. unet_config: of `checkpoint.unet_config`."""

    unet_extra_config: dict[str, Any] = {"attn_precision": torch.float32}  # noqa: RUF012 (as ComfyUI's)
    latent_format = comfy.latent_formats.SD15
    memory_usage_factor = 1.0
    """As of SD2, whose layers take the most here, too."""
    scale: Tensor | None = None
    """The file's own scale array; None = the published one."""

    def get_model(self, state_dict: dict[str, Tensor], prefix: str = "", device: Any = None) -> VideoCrafter2:
        return VideoCrafter2(self, device=device)

    def process_unet_state_dict(self, state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
        renamed: dict[str, Tensor] = state_dict_prefix_replace(dict(state_dict), RENAMED)
        return renamed

    def process_unet_state_dict_for_saving(self, state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
        back = {ours: theirs for theirs, ours in RENAMED.items()}
        saved: dict[str, Tensor] = super().process_unet_state_dict_for_saving(
            state_dict_prefix_replace(dict(state_dict), back)
        )
        return saved
