"""ComfyUI extension that makes the stock loader, text and sampling nodes work with
tools/demo/tiny_sdxl.safetensors.

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
KNOWN_TOKENS = (
    0,
    268,
    320,
    525,
    530,
    536,
    539,
    705,
    736,
    930,
    1212,
    1449,
    1579,
    1615,
    1746,
    1901,
    2442,
    2660,
    2840,
    2866,
    3055,
    3240,
    3360,
    3540,
    4287,
    4440,
    4481,
    5496,
    5994,
    6531,
    7048,
    7528,
    8383,
    8797,
    9899,
    10233,
    11438,
    12952,
    13011,
    14952,
    17195,
    19794,
    21559,
    22668,
    22821,
    40038,
    49406,
    49407,
)
"""The stock tokenizer's ids that the training captions use.

All other words share one row of the table and mean nothing.
"""
END_TOKEN = 49407
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
        "eos_token_id": END_TOKEN,
        "vocab_size": 49408,
    }


def row_of(ids: torch.Tensor) -> torch.Tensor:
    """Row of the token table for each id: 0 for unknown ones, then the known ones in order."""
    known = torch.tensor(KNOWN_TOKENS, device=ids.device)
    place = torch.searchsorted(known, ids).clamp(max=len(known) - 1)
    return torch.where(known[place] == ids, place + 1, 0)


class FoldedTextModel(comfy.clip_model.CLIPTextModel):
    """The host's CLIP text model with a token table of one row for each known word and one for all others.

    The stock tokenizer has 49408 ids, the training captions use few of them: this keeps 12 MB of untrained
    rows out of the checkpoint.
    """

    def __init__(self, config: dict[str, Any], dtype: Any, device: Any, operations: Any) -> None:
        super().__init__(config, dtype, device, operations)

        class FoldedEmbedding(operations.Embedding):
            def forward(self, ids: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
                return super().forward(row_of(ids), *args, **kwargs)

        self.text_model.embeddings.token_embedding = FoldedEmbedding(
            len(KNOWN_TOKENS) + 1, config["hidden_size"], dtype=dtype, device=device
        )


class TinyTextEncoders(comfy.sdxl_clip.SDXLClipModel):
    """SDXL's pair of text encoders, small."""

    def __init__(
        self, device: Any = "cpu", dtype: Any = None, model_options: dict[str, Any] | None = None
    ) -> None:
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
            textmodel_json_config=text_config("quick_gelu"),
            model_options={**options, "model_name": "clip_l"},
            **common,
        )
        self.clip_g = comfy.sd1_clip.SDClipModel(
            textmodel_json_config=text_config("gelu"),
            model_options={**options, "model_name": "clip_g"},
            special_tokens={"start": 49406, "end": END_TOKEN, "pad": 0},
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
