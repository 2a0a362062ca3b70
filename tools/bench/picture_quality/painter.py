"""Makes images with one checkpoint through ComfyUI's own nodes, called in this process.

Every family of methods is a function of a Painter, a Shot and the family's knob.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from freescale_pack.freescale_core.geometry import Size, to_cells
from freescale_pack.freescale_core.schedule import ddim_uniform_timesteps, restart_step
from freescale_pack.nodes.cascade.upscale import resize
from freescale_pack.nodes.upscale_node import FreeScaleUpscale
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

import nodes as host_nodes
from tools.harness.demo_checkpoint import load_checkpoint

SAMPLER, SCHEDULER = "euler", "ddim_uniform"
LAST_STEP = 10000
Latent = dict[str, Any]
Pixels = tuple[int, int]
"""(width, height)."""


class Sampling(NamedTuple):
    """What all runs of an experiment share. steps: of a whole schedule."""

    cfg: float
    steps: int
    negative: str = ""


@dataclass(frozen=True)
class Shot:
    """One image that every method is asked for. latent: the finished base image, the same for all methods."""

    text: str
    seed: int
    base: Pixels
    stages: tuple[Pixels, ...]
    latent: Latent

    @property
    def target(self) -> Pixels:
        return self.stages[-1]

    @property
    def scale(self) -> float:
        """Target side over base side."""
        return (self.target[0] * self.target[1] / (self.base[0] * self.base[1])) ** 0.5


@dataclass(frozen=True)
class Painter:
    model: Any
    clip: Any
    vae: Any
    sampling: Sampling

    @cached_property
    def _encoded(self) -> dict[str, Any]:
        return {}

    @cached_property
    def _enlarged(self) -> WeakIdKeyDictionary:
        """A latent -> its enlargements by size, for as long as the latent lives.

        Most methods begin with the same one, and encoding an image takes as long as several steps.
        """
        return WeakIdKeyDictionary()

    def prompt(self, text: str, told: Pixels | None) -> Any:
        """CONDITIONING. told: the size that SDXL is told; None = ComfyUI tells it that of the latent."""
        if text not in self._encoded:
            self._encoded[text] = self.clip.encode_from_tokens_scheduled(self.clip.tokenize(text))
        sizes = {} if told is None else _told(*told)
        return [[tokens, {**values, **sizes}] for tokens, values in self._encoded[text]]

    def base_latent(self, text: str, seed: int, size: Pixels) -> Latent:
        """Ordinary sampling from noise."""
        return self.sampled(self.model, text, seed, empty_latent(size))

    def sampled(
        self,
        model: Any,
        text: str,
        seed: int,
        start: Latent,
        restart: float = 0.0,
        steps: int | None = None,
        told: Pixels | None = None,
    ) -> Latent:
        """Noise `start` to the level at `restart` of the schedule and sample the rest, by KSampler
        (Advanced)."""
        steps = steps or self.sampling.steps
        first = restart_step(ddim_uniform_timesteps(steps), restart) if restart else 0
        prompts = self.prompt(text, told), self.prompt(self.sampling.negative, told)
        options = (seed, steps, self.sampling.cfg, SAMPLER, SCHEDULER, *prompts)
        sample = host_nodes.KSamplerAdvanced().sample
        return sample(model, "enable", *options, start, first, LAST_STEP, "disable")[0]

    def through_stages(
        self,
        shot: Shot,
        model: Any | Callable[[Latent], Any],
        restart: float,
        *,
        enlarge: Callable[[Latent, Pixels], Latent] | None = None,
        steps: int | None = None,
        told: Pixels | None = None,
    ) -> Tensor:
        """Stage by stage: enlarge, sample from `restart` on. Stage r samples with seed + r, as the cascade
        does.

        model: the MODEL of every stage, or what makes it from the stage's starting latent.
        """
        latent = shot.latent
        for r, size in enumerate(shot.stages, start=1):
            start = (enlarge or self.enlarged)(latent, size)
            patched = model(start) if callable(model) else model
            latent = self.sampled(patched, shot.text, shot.seed + r, start, restart, steps, told)
        return self.decoded(latent)

    def direct(self, shot: Shot, model: Any, told: Pixels | None = None) -> Tensor:
        """Ordinary sampling from noise at the target size."""
        latent = self.sampled(model, shot.text, shot.seed, empty_latent(shot.target), told=told)
        return self.decoded(latent)

    def enlarged(self, latent: Latent, size: Pixels) -> Latent:
        """Decode, resize, encode: the paper's upsampling in RGB space."""
        known = self._enlarged.setdefault(latent["samples"], {})
        if size not in known:
            known[size] = FreeScaleUpscale.execute(
                self.vae, 2.0, *size, "bicubic", "auto", samples=latent
            ).result[0]
        return known[size]

    def decoded(self, latent: Latent) -> Tensor:
        """IMAGE (1, h, w, 3) in 0..1."""
        return self.vae.decode(latent["samples"]).float().cpu()

    def encoded(self, image: Tensor) -> Latent:
        return {"samples": self.vae.encode(image)}


def loaded(checkpoint: Path, bf16: bool) -> tuple[Any, Any, Any]:
    """(model, clip, vae). bf16: the UNet computes in bfloat16."""
    model, clip, vae = load_checkpoint(checkpoint)
    if bf16:
        model.set_model_compute_dtype(torch.bfloat16)
    # The same sums in another order, in which convolutions of large images take less time, also on a CPU.
    vae.first_stage_model.to(memory_format=torch.channels_last)
    return model, clip, vae


def empty_latent(size: Pixels) -> Latent:
    return {"samples": torch.zeros(1, 4, *to_cells(Size(size[1], size[0])))}


def resized(image: Tensor, size: Pixels, method: str = "lanczos") -> Tensor:
    """IMAGE at `size`."""
    return resize(image, Size(size[1], size[0]), method)


def _told(width: int, height: int) -> dict[str, int]:
    """SDXL's size conditioning as ComfyUI names it."""
    return {"width": width, "height": height, "target_width": width, "target_height": height}
