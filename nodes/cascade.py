"""The self-cascade as ordinary sampler runs: one per stage, each upscaled from the one before."""

import logging
from dataclasses import dataclass
from typing import Any

import comfy.sample
import comfy.samplers
import comfy.utils
from torch import Tensor

from ..freescale_core.geometry import Size
from ..freescale_core.plan import CascadePlan
from ..freescale_core.stages import restart_step
from .cascade_progress import CascadeProgress
from .host import empty_latent_for, out_of_memory, without_grid_hints
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

    def step_count(self, model: Any) -> int:
        """Steps the schedule really has: ddim_uniform makes 7 out of 6."""
        sampler = comfy.samplers.KSampler(model, self.steps, model.load_device, self.sampler_name, self.scheduler)
        return len(sampler.sigmas) - 1

    def for_later_stages(self, plan: CascadePlan) -> "SamplerChoice":
        return SamplerChoice(
            self.seed, plan.steps or self.steps, self.cfg, plan.sampler_name or self.sampler_name, plan.scheduler or self.scheduler
        )


@dataclass(frozen=True)
class StageResult:
    """One finished stage: its latent dict (None for a picture that came in) and its picture (b, H, W, 3), None if memory ran out."""

    latent: dict[str, Any] | None
    image: Tensor | None


def run_cascade(
    model: Any,
    positive: Any,
    negative: Any,
    vae: Any,
    plan: CascadePlan,
    choice: SamplerChoice,
    latent: dict[str, Any] | None,
    image: Tensor | None,
) -> list[StageResult]:
    """All stages, the base included. latent: empty = sample stage 0, else the finished stage 0; image: the finished stage 0.

    When a later stage runs out of memory, what is finished is returned and the log says so.
    """
    later = choice.for_later_stages(plan)
    first = restart_step(later.steps, plan.restart or 0.0)
    sample_base = latent is not None and not latent["samples"].any()
    counts = [choice.step_count(model)] * sample_base + [later.step_count(model) - first] * len(plan.stages)
    progress = CascadeProgress(model, counts)

    if sample_base and latent is not None:
        empty = {**latent, "samples": empty_latent_for(model, latent)}
        latent = sample(model, positive, negative, choice, choice.seed, empty, None, progress.next_stage())
    if latent is not None:
        image = decode(vae, latent["samples"], plan.tiling)
        progress.show(image)
    assert image is not None
    results = [StageResult(latent, image[..., :3])]
    for r, size in enumerate(plan.stages, start=1):
        log.info("FreeScale: stage %d of %d, %s.", r, len(plan.stages), size)
        before, latent = results[-1], None
        try:
            assert before.image is not None
            picture = resize(before.image, size, plan.method, plan.upscale_model)
            start = {**(before.latent or {}), "samples": encode(vae, picture, plan.tiling)}
            latent = sample(model, positive, negative, later, choice.seed + r, start, first, progress.next_stage())
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
            "FreeScale: stage %d (%s) ran out of memory, so the result is stage %d: use fusion fast or a smaller factor.", r, size, r - 1
        )
        return []
    log.error("FreeScale: decoding stage %d (%s) ran out of memory: its latent is returned, decode it with VAE Decode (Tiled).", r, size)
    return [StageResult(latent, None)]


def sample(
    model: Any,
    positive: Any,
    negative: Any,
    choice: SamplerChoice,
    seed: int,
    latent: dict[str, Any],
    start_step: int | None,
    callback: Any,
) -> dict[str, Any]:
    """KSampler (start_step None) or KSampler (Advanced) with noise, with the cascade's own progress callback."""
    samples = latent["samples"]
    noise = comfy.sample.prepare_noise(samples, seed, latent.get("batch_index"))
    out = comfy.sample.sample(
        model,
        noise,
        choice.steps,
        choice.cfg,
        choice.sampler_name,
        choice.scheduler,
        positive,
        negative,
        samples,
        start_step=start_step,
        last_step=None if start_step is None else 10000,
        force_full_denoise=start_step is not None,
        noise_mask=latent.get("noise_mask"),
        callback=callback,
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        seed=seed,
    )
    return {**without_grid_hints(latent), "samples": out}


def stage_size(samples: Tensor | None, image: Tensor | None, cell: int) -> Size:
    """Pixel size of stage 0 from its latent or its picture."""
    if samples is not None:
        return Size(samples.shape[2] * cell, samples.shape[3] * cell)
    assert image is not None
    return Size(image.shape[1], image.shape[2])
