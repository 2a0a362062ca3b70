"""The self-cascade as ordinary sampler runs: one per stage, each upscaled from the one before."""

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import comfy.sample
import comfy.samplers
import comfy.utils
from torch import Tensor

from ..freescale_core.geometry import Size, to_pixels
from ..freescale_core.plan import CascadePlan
from ..freescale_core.stages import restart_step
from .cascade_progress import CascadeProgress
from .host import out_of_memory, without_grid_hints
from .noise_level import timestep
from .vae_stage import decode, encode, resize

log = logging.getLogger("FreeScale")


@dataclass(frozen=True)
class SamplerChoice:
    """What the widgets of KSampler say."""

    seed: int
    steps: int
    cfg: float
    sampler_name: str
    scheduler: str


@dataclass(frozen=True)
class Stage:
    """What one stage is sampled with. start_step: None = the whole schedule (stage 0)."""

    model: Any
    positive: Any
    negative: Any
    choice: SamplerChoice
    start_step: int | None = None

    def step_count(self) -> int:
        """Number of steps that will be sampled. It can differ from `steps`: ddim_uniform turns 6 into 7."""
        return len(self.sigmas()) - 1 - (self.start_step or 0)

    def sigmas(self) -> Tensor:
        """The noise levels of the full schedule, the last one 0."""
        choice = self.choice
        sampler = comfy.samplers.KSampler(self.model, choice.steps, self.model.load_device, choice.sampler_name, choice.scheduler)
        sigmas: Tensor = sampler.sigmas
        return sigmas

    def restarted(self, restart: float) -> "Stage":
        """The stage without the first share `restart` of its schedule."""
        model_sampling = self.model.get_model_object("model_sampling")
        timesteps = [timestep(model_sampling, sigma) for sigma in self.sigmas()[:-1].tolist()]
        return dataclasses.replace(self, start_step=restart_step(timesteps, restart))


@dataclass(frozen=True)
class StageResult:
    """One finished stage: its latent dict (None for a picture that came in) and its picture (b, H, W, 3), None if memory ran out."""

    latent: dict[str, Any] | None
    image: Tensor | None


def run_cascade(
    stages: Sequence[Stage], vae: Any, plan: CascadePlan, latent: dict[str, Any] | None, image: Tensor | None
) -> list[StageResult]:
    """All stages, the base included. latent: empty = sample stage 0, else the finished stage 0; image: the finished stage 0.

    When a later stage runs out of memory, what is finished is returned and the log says so.
    """
    base, *later = stages
    sample_base = latent is not None and not latent["samples"].any()
    progress = CascadeProgress(base.model, [stage.step_count() for stage in (stages if sample_base else later)])

    if sample_base and latent is not None:
        latent = sample(base, latent, progress.next_stage())
    if latent is not None:
        image = decode(vae, latent["samples"], plan.tiling)
        progress.show(image)
    assert image is not None
    results = [StageResult(latent, image[..., :3])]
    for r, (stage, size) in enumerate(zip(later, plan.stages, strict=True), start=1):
        log.info("FreeScale: stage %d of %d, %s, from step %d of %d.", r, len(plan.stages), size, stage.start_step, len(stage.sigmas()) - 1)
        before, latent = results[-1], None
        try:
            assert before.image is not None
            picture = resize(before.image, size, plan.method, plan.upscale_model)
            start = {**(before.latent or {}), "samples": encode(vae, picture, plan.tiling)}
            latent = sample(stage, start, progress.next_stage())
            image = decode(vae, latent["samples"], plan.tiling)
        except RuntimeError as error:  # Cancel is no RuntimeError on any host.
            if not out_of_memory(error) or (before.latent is None and latent is None):
                raise
            return [*results, *_saved(r, size, latent)]
        progress.show(image)
        results.append(StageResult(latent, image))
    return results


def _saved(r: int, size: Size, latent: dict[str, Any] | None) -> list[StageResult]:
    """What is left of stage r after it ran out of memory: its latent, if only the decoding failed."""
    if latent is None:
        log.error(
            "FreeScale: stage %d (%s) ran out of memory, so the result is stage %d: take speed Balanced or Fast, or a smaller factor.",
            r,
            size,
            r - 1,
        )
        return []
    log.error("FreeScale: decoding stage %d (%s) ran out of memory: its latent is returned, decode it with VAE Decode (Tiled).", r, size)
    return [StageResult(latent, None)]


def sample(stage: Stage, latent: dict[str, Any], callback: Any) -> dict[str, Any]:
    """KSampler (start_step None) or KSampler (Advanced) with noise, with the cascade's own progress callback."""
    choice, samples = stage.choice, latent["samples"]
    noise = comfy.sample.prepare_noise(samples, choice.seed, latent.get("batch_index"))
    out = comfy.sample.sample(
        stage.model,
        noise,
        choice.steps,
        choice.cfg,
        choice.sampler_name,
        choice.scheduler,
        stage.positive,
        stage.negative,
        samples,
        start_step=stage.start_step,
        last_step=None if stage.start_step is None else 10000,
        force_full_denoise=stage.start_step is not None,
        noise_mask=latent.get("noise_mask"),
        callback=callback,
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        seed=choice.seed,
    )
    return {**without_grid_hints(latent), "samples": out}


def stage_size(samples: Tensor | None, image: Tensor | None) -> Size:
    """Pixel size of stage 0 from its latent or its picture."""
    if samples is not None:
        return to_pixels(Size(*samples.shape[2:4]))
    assert image is not None
    return Size(image.shape[1], image.shape[2])
