"""ComfyUI's objects as far as FreeScale uses them. ComfyUI has no types of its own for these."""

from collections.abc import Callable
from typing import Any, Protocol, TypedDict

import torch
from torch import Tensor

Conditioning = list[tuple[Tensor, dict[str, Any]]]
"""Encoded prompts, (b, tokens, channels) each, with what belongs to them."""
Callback = Callable[[int, Tensor, Tensor, int], None]
"""Of a sampler: (step, x0, x, total steps)."""
AttentionOptions = dict[str, Any]
"""What ComfyUI hands to each attention patch; `backbones.attention_call.AttentionCall` reads it."""


class LatentDict(TypedDict, total=False):
    """A LATENT: samples (b, c, h, w), and what travels with them."""

    samples: Tensor
    noise_mask: Tensor
    batch_index: list[int]


class ModelSampling(Protocol):
    """Of a model: how its x is made of image and noise."""

    def noise_scaling(self, sigma: Tensor, noise: Tensor, latent_image: Tensor) -> Tensor: ...


class Model(Protocol):
    """A MODEL (ModelPatcher)."""

    model: Any
    load_device: torch.device
    model_options: dict[str, Any]

    def __hash__(self) -> int: ...
    def clone(self) -> "Model": ...
    def get_model_object(self, name: str) -> Any: ...
    def get_wrappers(self, wrapper_type: str, key: str) -> list[Any]: ...
    def remove_wrappers_with_key(self, wrapper_type: str, key: str) -> None: ...
    def add_wrapper_with_key(self, wrapper_type: str, key: str, wrapper: Any) -> None: ...


class Guider(Protocol):
    """A GUIDER while it samples."""

    model_patcher: Model
    model_options: dict[str, Any]
    conds: dict[str, list[dict[str, Any]]]


class Vae(Protocol):
    """A VAE."""

    device: torch.device
    vae_dtype: torch.dtype
    latent_channels: int

    def decode(self, samples: Tensor) -> Tensor: ...
    def encode(self, pixels: Tensor) -> Tensor: ...
    def decode_tiled(self, samples: Tensor, *, tile_x: int, tile_y: int, overlap: int) -> Tensor: ...
    def encode_tiled(self, pixels: Tensor, *, tile_x: int, tile_y: int, overlap: int) -> Tensor: ...
    def memory_used_decode(self, shape: tuple[int, ...], dtype: torch.dtype) -> float: ...
    def memory_used_encode(self, shape: tuple[int, ...], dtype: torch.dtype) -> float: ...
    def spacial_compression_decode(self) -> int: ...
