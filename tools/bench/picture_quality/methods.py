"""A picture by one method, made by the host's own nodes called in this process."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import Upsample
from comfy.patcher_extension import WrappersMP
from freescale_pack.freescale_core.dilation import dilated
from freescale_pack.freescale_core.geometry import Size, dilation_factor, scale_between, to_cells
from freescale_pack.freescale_core.schedule import TIMESTEPS, ddim_uniform_timesteps, restart_step
from freescale_pack.nodes.cascade.upscale import resize
from freescale_pack.nodes.host.noise_level import timestep
from freescale_pack.nodes.model_patch_node import FreeScaleModelPatch
from freescale_pack.nodes.part_nodes import FreeScaleDetailControl, FreeScaleDilatedConv, FreeScaleScaleFusion
from freescale_pack.nodes.upscale_node import FreeScaleUpscale
from torch import Tensor, nn

import nodes as host_nodes
from tools.bench.picture_quality.settings import CFG, SAMPLER, SCHEDULER, Group, Method

LAST_STEP = 10000
Latent = dict[str, Any]


@dataclass(frozen=True)
class Painter:
    """Makes pictures with one checkpoint."""

    model: Any
    clip: Any
    vae: Any

    def base_latent(self, group: Group, text: str, seed: int) -> Latent:
        return self._sampled(group, text, seed, group.base)

    def decoded(self, latent: Latent) -> np.ndarray:
        return as_bytes(self.vae.decode(latent["samples"]))

    def picture(self, method: Method | None, group: Group, text: str, seed: int, base: Latent) -> np.ndarray:
        """uint8 RGB (height, width, 3) of the group's target size; without a method the base picture."""
        if method is None:
            return self.decoded(base)
        if method.kind == "lanczos":
            width, height = group.target
            return as_bytes(resize(self.vae.decode(base["samples"]), Size(height, width), "lanczos"))
        if method.kind == "direct":
            return self.decoded(
                self._sampled(group, text, seed, group.target, patched(self.model, method, group.base))
            )
        return self.decoded(self.cascade(method, group, text, seed, base))

    def cascade(self, method: Method, group: Group, text: str, seed: int, latent: Latent) -> Latent:
        """Stage by stage: enlarge, then KSampler (Advanced) from step K on.

        With the defaults it is FreeScaleCascade, bit for bit.
        """
        model, texts = patched(self.model, method, group.base), self._texts(text)
        first = restart_step(ddim_uniform_timesteps(method.steps), method.restart)
        for r, size in enumerate(group.stages, start=1):
            start = self._enlarged(method, latent, size)
            options = (seed + r, method.steps, CFG, SAMPLER, SCHEDULER, *texts)
            sampled = host_nodes.KSamplerAdvanced().sample(
                model, "enable", *options, start, first, LAST_STEP, "disable"
            )
            latent = sampled[0]
        return latent

    def _sampled(
        self, group: Group, text: str, seed: int, size: tuple[int, int], model: Any = None
    ) -> Latent:
        """Ordinary sampling from noise, as KSampler does. size: (width, height) in pixels; model: None = as
        it is."""
        empty = {"samples": torch.zeros(1, 4, *to_cells(Size(size[1], size[0])))}
        return host_nodes.KSampler().sample(
            model or self.model, seed, group.steps, CFG, SAMPLER, SCHEDULER, *self._texts(text), empty
        )[0]

    def _texts(self, text: str) -> list[Any]:
        """Positive and negative conditioning."""
        return [self.clip.encode_from_tokens_scheduled(self.clip.tokenize(words)) for words in (text, "")]

    def _enlarged(self, method: Method, latent: Latent, size: tuple[int, int]) -> Latent:
        if method.in_latents:
            return host_nodes.LatentUpscale().upscale(latent, "bicubic", *size, "disabled")[0]
        return FreeScaleUpscale.execute(self.vae, 2.0, *size, "bicubic", "off", samples=latent).result[0]


def as_bytes(image: Tensor) -> np.ndarray:
    """(1, h, w, 3) in 0..1 -> uint8 (h, w, 3)."""
    return (image[0] * 255).round().clamp(0, 255).to(torch.uint8).numpy()


def patched(model: Any, method: Method, base: tuple[int, int]) -> Any:
    """The model with the method's parts of FreeScale. base: (width, height)."""
    if not method.patched:
        return model
    model = FreeScaleModelPatch.execute(model, "Auto", "Exact", method.alpha or 0.0, *base).result[0]
    fusion = "off" if method.blur_axes is None else method.fusion
    axes = method.blur_axes or "3-D (h, w, channel)"
    model = FreeScaleScaleFusion.execute(model, fusion, axes, 1.0, True, 1.0, 0, 0).result[0]
    model = FreeScaleDilatedConv.execute(
        model, 1 if method.dilation is None else 0, method.dilation_end
    ).result[0]
    model = FreeScaleDetailControl.execute(model, method.alpha is not None, method.alpha or 0.0).result[0]
    return with_dilated_up_blocks(model, base, method.dilation_end) if method.dilation == "up" else model


def with_dilated_up_blocks(model: Any, base: tuple[int, int], end_percent: float) -> Any:
    """The paper's ablation: the deepest up blocks are dilated as well.

    Not in the product, where it only does harm.
    """
    model_sampling, last = model.get_model_object("model_sampling"), (1 - end_percent) * TIMESTEPS
    cells = to_cells(Size(base[1], base[0]))

    def wrapper(executor: Any, x: Tensor, t: Tensor, *args: Any, **kwargs: Any) -> Any:
        factor = dilation_factor(scale_between(cells, Size(*x.shape[2:])))
        early = timestep(model_sampling, float(t.flatten()[0])) >= last
        with dilated(deepest_up_convs(executor.class_obj.diffusion_model) if early else (), factor):
            return executor(x, t, *args, **kwargs)

    model = model.clone()
    model.add_wrapper_with_key(WrappersMP.APPLY_MODEL, "bench_up_dilation", wrapper)
    return model


def deepest_up_convs(unet: Any) -> list[nn.Conv2d]:
    """The 3x3 convolutions of the up blocks until the resolution grows for the first time, the upsampler's
    among them."""
    convs: list[nn.Conv2d] = []
    for block in unet.output_blocks:
        convs += [
            layer for layer in block.modules() if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3)
        ]
        if any(isinstance(layer, Upsample) for layer in block):
            break
    return convs
