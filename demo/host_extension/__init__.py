"""ComfyUI extension that makes the stock loader, text and sampling nodes work with demo/tiny_sdxl.safetensors.

It adds one entry to the host's list of known models: SDXL with a small UNet and small text encoders.
"""

from typing import Any

import comfy.clip_model
import comfy.sd1_clip
import comfy.sdxl_clip
import comfy.supported_models
import comfy.supported_models_base
import torch

TEXT_WIDTH = 64
TOKEN_ROWS = 1505
SIZE_EMBEDDING = 6 * 256
"""SDXL's six size numbers (original, crop, target), 256 channels each."""


def text_config(activation: str) -> dict[str, Any]:
    return {
        "hidden_size": TEXT_WIDTH,
        "intermediate_size": 2 * TEXT_WIDTH,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "hidden_act": activation,
        "max_position_embeddings": 77,
        "eos_token_id": 49407,
        "vocab_size": 49408,
    }


class FoldedTextModel(comfy.clip_model.CLIPTextModel):
    """The host's CLIP text model with a token table of TOKEN_ROWS rows.

    The stock tokenizer has 49408 ids, the training captions use few of them: folding the ids keeps 12 MB of untrained
    rows out of the checkpoint.
    """

    def __init__(self, config: dict[str, Any], dtype: Any, device: Any, operations: Any) -> None:
        super().__init__(config, dtype, device, operations)

        class FoldedEmbedding(operations.Embedding):
            def forward(self, ids: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
                return super().forward(ids % self.num_embeddings, *args, **kwargs)

        self.text_model.embeddings.token_embedding = FoldedEmbedding(TOKEN_ROWS, config["hidden_size"], dtype=dtype, device=device)


class TinyTextEncoders(comfy.sdxl_clip.SDXLClipModel):
    """SDXL's pair of text encoders, small."""

    def __init__(self, device: Any = "cpu", dtype: Any = None, model_options: dict[str, Any] | None = None) -> None:
        torch.nn.Module.__init__(self)  # SDXLClipModel's own would build the two full-size encoders.
        common = {
            "layer": "hidden",
            "layer_idx": -2,
            "device": device,
            "dtype": dtype,
            "layer_norm_hidden_state": False,
            "model_class": FoldedTextModel,
        }
        options = model_options or {}
        self.clip_l = comfy.sd1_clip.SDClipModel(
            textmodel_json_config=text_config("quick_gelu"), model_options={**options, "model_name": "clip_l"}, **common
        )
        self.clip_g = comfy.sd1_clip.SDClipModel(
            textmodel_json_config=text_config("gelu"),
            model_options={**options, "model_name": "clip_g"},
            special_tokens={"start": 49406, "end": 49407, "pad": 0},
            return_projected_pooled=True,
            **common,
        )
        self.dtypes = {dtype}


class TinySDXL(comfy.supported_models.SDXL):
    """SDXL in small. What is not named here the host reads from the checkpoint."""

    unet_config = {
        "model_channels": 64,
        "use_linear_in_transformer": True,
        "context_dim": 2 * TEXT_WIDTH,
        "adm_in_channels": TEXT_WIDTH + SIZE_EMBEDDING,
        "use_temporal_attention": False,
    }

    def clip_target(self, state_dict: dict[str, Any] | None = None) -> comfy.supported_models_base.ClipTarget:
        return comfy.supported_models_base.ClipTarget(comfy.sdxl_clip.SDXLTokenizer, TinyTextEncoders)


def register() -> None:
    """Make the host know TinySDXL, once."""
    if not any(model.__name__ == TinySDXL.__name__ for model in comfy.supported_models.models):
        comfy.supported_models.models.append(TinySDXL)


register()

NODE_CLASS_MAPPINGS: dict[str, type] = {}
"""No nodes of its own; the host asks for this name to accept the folder as an extension."""
