"""What is measured: SDXL and its VAE in full size with random weights, or the demo model for a dry run."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from unittest import mock

import comfy.ops
import comfy.samplers
import comfy.sd
import torch
from comfy.ldm.models.autoencoder import AutoencoderKL
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from freescale_pack.freescale_core.geometry import Size, to_cells
from freescale_pack.freescale_core.presets import SPEEDS
from freescale_pack.freescale_core.settings import FusionSettings
from freescale_pack.nodes.model_patch_node import FreeScaleModelPatch
from torch import Tensor

from tools.bench.performance.attention import LoneAttention
from tools.bench.performance.configs import SDXL, VAE
from tools.harness.demo_checkpoint import conditioning, demo_checkpoint

CFG = 7.5
ALPHA = 1.0


@dataclass(frozen=True)
class Subject:
    """base: side of the training size in pixels. scales: of the pictures that are drawn."""

    tiny: bool
    device: torch.device
    dtype: torch.dtype

    @property
    def base(self) -> int:
        return 256 if self.tiny else 1024

    @property
    def scales(self) -> tuple[int, ...]:
        return (1, 2) if self.tiny else (1, 2, 4, 8)

    @cached_property
    def model(self) -> Any:
        """A MODEL from ComfyUI's own loader."""
        if self.tiny:
            return demo_checkpoint()[0]
        with whole_layers():
            unet = UNetModel(**SDXL, device="meta", operations=comfy.ops.disable_weight_init)
        return comfy.sd.load_diffusion_model_state_dict(dict(random_weights(unet, self.device, self.dtype)))

    def vae(self, dtype: torch.dtype | None = None) -> Any:
        """dtype: None = what ComfyUI chooses."""
        if self.tiny:
            return demo_checkpoint()[2]
        with torch.device("meta"), whole_layers():
            network = AutoencoderKL(ddconfig=VAE, embed_dim=4)
        return comfy.sd.VAE(sd=dict(random_weights(network, self.device, torch.float16)), dtype=dtype)

    @cached_property
    def texts(self) -> tuple[Any, Any]:
        """Positive and negative CONDITIONING."""
        if self.tiny:
            return conditioning("a red apple"), conditioning("")
        return tuple(
            [[noise((1, 77, 2048), seed), {"pooled_output": noise((1, 1280), seed)}]] for seed in (1, 2)
        )

    def patched(self, speed: str, model: Any = None) -> Any:
        """A MODEL as the node FreeScale Model Patch returns it."""
        return FreeScaleModelPatch.execute(
            model or self.model, "SDXL", speed, ALPHA, self.base, self.base
        ).result[0]

    def self_attention(
        self, window: Size, grid: Size, channels: int, heads: int, fusion: FusionSettings | None
    ) -> LoneAttention:
        """One of a block, alone on the device."""
        return LoneAttention(window, grid, fusion, channels, heads, device=self.device, dtype=self.dtype)

    def variants(self) -> dict[str, Any]:
        """The MODEL unpatched, and at each speed."""
        return {"unpatched": self.model, **{speed: self.patched(speed) for speed in SPEEDS}}

    def cells(self, scale: int) -> Size:
        """Latent cells of a picture of `scale` times the base side."""
        return to_cells(Size(self.base * scale, self.base * scale))


@contextmanager
def whole_layers() -> Iterator[None]:
    """Inside the block layers are made with their weights, which the memory manager of newer releases puts
    off until they are loaded."""
    manager = sys.modules.get("comfy.memory_management")
    if manager is None:
        yield
        return
    with mock.patch.object(manager, "aimdo_enabled", False):
        yield


def noise(shape: tuple[int, ...], seed: int) -> Tensor:
    """The same on every machine."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def random_weights(network: Any, device: torch.device, dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    """Name and value of each weight of a network without data: products keep the variance, norms do nothing;
    on the CPU."""
    generator = torch.Generator(device).manual_seed(0)
    for name, weights in network.state_dict().items():
        value = torch.empty(weights.shape, device=device, dtype=dtype)
        if weights.ndim > 1:
            value.normal_(0.0, weights[0].numel() ** -0.5, generator=generator)
        else:
            value.fill_(float(name.endswith("weight")))
        yield name, value.cpu()


def sample(
    subject: Subject, model: Any, size: Size, timesteps: tuple[float, ...] = (900.0, 880.0), seed: int = 0
) -> Tensor:
    """Latent (1, 4, h, w) after Euler steps between some timesteps, through ComfyUI's guider; `size` in
    latent cells."""
    sampling = model.get_model_object("model_sampling")
    sigmas = torch.stack([sampling.sigma(torch.tensor(t)) for t in timesteps]).cpu()
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(*subject.texts)
    guider.set_cfg(CFG)
    euler, shape = comfy.samplers.sampler_object("euler"), (1, 4, *size)
    out: Tensor = guider.sample(
        noise(shape, seed), torch.zeros(shape), euler, sigmas, disable_pbar=True, seed=seed
    )
    return out.float().cpu()
