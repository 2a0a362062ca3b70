"""A VideoCrafter2 file -> MODEL, CLIP and VAE of ComfyUI, which then load and offload them as any others."""

import logging
from typing import Any, NamedTuple

import comfy.sd
import comfy.utils
import torch
from comfy import model_management
from torch import Tensor, nn

from ...host.releases import load_weights, patcher_of
from ...host.types import Model
from .checkpoint import NODE, SCALE, TEXT, VAE, Weights, part, unet_config, unet_of
from .model import VideoCrafter2, VideoCrafter2Config
from .schedule import TIMESTEPS

log = logging.getLogger("FreeScale")


class Loaded(NamedTuple):
    """What a file gave. clip, vae: None where the file has none."""

    model: Model
    clip: Any | None
    vae: Any | None


def load_file(path: str, embeddings: list[str] | None = None) -> Loaded:
    """Load a checkpoint, or a UNet alone; .ckpt files as tensors only, so that no code of theirs runs.

    embeddings: folders of textual inversions.

    Raises:
        ValueError: the file is of another model.
    """
    file = comfy.utils.load_torch_file(path, safe_load=True)
    model = load_model(file)
    text, vae = part(file, TEXT), part(file, VAE)
    if not text:
        log.info(
            "FreeScale: %s has no text encoder: take Load CLIP with SD2.1's, type stable_diffusion.", path
        )
    if not vae:
        log.info("FreeScale: %s has no VAE: take Load VAE with one of Stable Diffusion 1 or 2.", path)
    return Loaded(model, _clip(text, embeddings) if text else None, comfy.sd.VAE(sd=vae) if vae else None)


def load_model(file: Weights, dtype: torch.dtype | None = None) -> Model:
    """The MODEL of a file's tensors. dtype: of the weights; None = as ComfyUI decides for its own models.

    Raises:
        ValueError: the file is of another model, or not whole.
    """
    unet = unet_of(file)
    config = VideoCrafter2Config(unet_config(unet))
    config.scale = _scale(file.get(SCALE))
    parameters = comfy.utils.calculate_parameters(unet)
    dtypes, device = list(config.supported_inference_dtypes), model_management.get_torch_device()
    if dtype is None:
        stored = comfy.utils.weight_dtype(unet)
        dtype = model_management.unet_dtype(
            model_params=parameters, supported_dtypes=dtypes, weight_dtype=stored
        )
    config.set_inference_dtype(dtype, model_management.unet_manual_cast(dtype, device, dtypes))
    model = config.get_model(unet, device=model_management.unet_inital_load_device(parameters, dtype))
    _expect_all(model, config.process_unet_state_dict(unet))
    patcher = patcher_of(model, device, model_management.unet_offload_device())
    load_weights(model, unet, patcher)
    return patcher


def _scale(stored: Tensor | None) -> Tensor | None:
    """The file's scale array, of which t = 0 to 999 count."""
    if stored is None:
        return None
    if stored.ndim != 1 or len(stored) < TIMESTEPS or not (stored > 0).all():
        raise ValueError(
            f"{NODE} expects {SCALE} with at least {TIMESTEPS} numbers above 0, got shape "
            f"{tuple(stored.shape)}: download the file again."
        )
    return stored[:TIMESTEPS]


def _expect_all(model: VideoCrafter2, weights: Weights) -> None:
    """ComfyUI would load a part of the tensors and log the rest."""
    expected = _shapes(model.diffusion_model)
    got = {name: tensor.shape for name, tensor in weights.items()}
    wrong = [name for name in sorted(expected.keys() | got.keys()) if expected.get(name) != got.get(name)]
    if wrong:
        raise ValueError(
            f"{NODE} expects {len(expected)} tensors of the UNet, got {len(got)}, of which some are missing "
            f"or have other shapes, such as {wrong[0]}: download the file again."
        )


def _shapes(network: nn.Module) -> dict[str, torch.Size]:
    """What shape each of its tensors has."""
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    for name, layer in network.named_modules():
        # With DynamicVRAM, ComfyUI gives a linear layer its tensors only when they are loaded.
        if isinstance(layer, nn.Linear) and layer.weight is None:
            shapes[f"{name}.weight"] = torch.Size((layer.out_features, layer.in_features))
            if layer.comfy_need_lazy_init_bias:
                shapes[f"{name}.bias"] = torch.Size((layer.out_features,))
    return shapes


def _clip(text: dict[str, Tensor], embeddings: list[str] | None) -> Any:
    """The CLIP of OpenCLIP's tensors, which ComfyUI recognises as SD2's."""
    return comfy.sd.load_text_encoder_state_dicts([text], embedding_directory=embeddings)
