"""The self-cascade as ordinary sampler runs: one per stage, each upscaled from the one before."""

import dataclasses
import functools
import logging
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import comfy.sample
import comfy.utils
from torch import Tensor

from ...freescale_core.geometry import Size
from ...freescale_core.planning.plan import CascadePlan
from ..host.releases import CatchOutOfMemory, without_grid_hints
from ..host.types import Callback, LatentDict, Vae
from ..patching.model import with_settings
from .kept import KEPT, stage_keys
from .progress import CascadeProgress, StageWork
from .stages import Stage
from .start import FromImage, FromLatent, Start
from .upscale import resize
from .vae import decode, encode

log = logging.getLogger("FreeScale")


@dataclass(frozen=True)
class StageResult:
    """One finished stage."""

    latent: LatentDict | None
    """None for an image that came in."""
    image: Tensor | None
    """(b, H, W, 3); None if memory ran out while decoding."""


def run_cascade(stages: list[Stage], vae: Vae, plan: CascadePlan, start: Start) -> list[StageResult]:
    """All stages, the base included. stages: of the base and of each size of the plan.

    When a later stage runs out of memory, what is finished is returned and the log says so.

    Raises:
        ValueError: a stage's MODEL has no UNet; nothing has been sampled then.
    """
    keys = stage_keys(stages, vae, plan, start)
    base, *later = _patched(stages)
    samples_base = isinstance(start, FromLatent) and start.is_empty
    sizes = (start.size, *plan.stages)
    work = [
        StageWork(r, len(later), size, stage)
        for r, (stage, size) in enumerate(zip([base, *later], sizes, strict=True))
    ]
    left = [part for part, key in zip(work, keys, strict=True) if KEPT.get(key) is None]
    progress = CascadeProgress(
        base.model, left if samples_base else [part for part in left if part.number > 0]
    )

    before, image = _base(base, keys[0], start, vae, plan, progress)
    results = [StageResult(before, image)]
    for r, (stage, size, key) in enumerate(zip(later, plan.stages, keys[1:], strict=True), start=1):
        # An image that came in is no result, so then the error passes.
        with CatchOutOfMemory(when=before is not None) as sampling:
            latent = _kept(key, r, size) or _sampled(stage, r, before, image, size, vae, plan, progress)
            KEPT.put(key, latent)
        if sampling.ran_out:
            log.error(
                "FreeScale: stage %d (%s) ran out of memory, so the result is stage %d: "
                "take speed Balanced or Fast, or a smaller factor.",
                r,
                size,
                r - 1,
            )
            return results
        with CatchOutOfMemory() as decoding:
            image = decode(vae, latent["samples"], plan.tiling)
        if decoding.ran_out:
            log.error(
                "FreeScale: decoding stage %d (%s) ran out of memory: its latent is returned, "
                "decode it with VAE Decode (Tiled).",
                r,
                size,
            )
            return [*results, StageResult(latent, None)]
        progress.show(image)
        results.append(StageResult(latent, image))
        before = latent
    return results


def _patched(stages: Sequence[Stage]) -> list[Stage]:
    """The stages with their settings on their MODELs.

    Stages that share both share one patched MODEL, too, so that ComfyUI need not load it again.
    """
    patched = functools.cache(with_settings)
    return [dataclasses.replace(stage, model=patched(stage.model, stage.settings)) for stage in stages]


def _kept(key: Hashable, r: int, size: Size) -> LatentDict | None:
    """What an earlier run has finished of stage r."""
    kept = KEPT.get(key)
    if kept is not None:
        log.info("FreeScale: stage %d, %s, is kept from an earlier run.", r, size)
    return kept


def _base(
    stage: Stage, key: Hashable, start: Start, vae: Vae, plan: CascadePlan, progress: CascadeProgress
) -> tuple[LatentDict | None, Tensor]:
    """Latent and image (b, H, W, 3) of stage 0; no latent if an image came in."""
    if isinstance(start, FromImage):
        return None, start.image
    latent = start.latent
    if start.is_empty:
        latent = _kept(key, 0, start.size) or sample(stage, latent, progress.next_stage())
        KEPT.put(key, latent)
    image = decode(vae, latent["samples"], plan.tiling)
    progress.show(image)
    return latent, image[..., :3]


def _sampled(
    stage: Stage,
    r: int,
    before: LatentDict | None,
    image: Tensor,
    size: Size,
    vae: Vae,
    plan: CascadePlan,
    progress: CascadeProgress,
) -> LatentDict:
    """Stage r from the image of the stage before. Its noise mask and batch index travel along."""
    steps = len(stage.sigmas()) - 1
    stages = len(plan.stages)
    log.info("FreeScale: stage %d of %d, %s, from step %d of %d.", r, stages, size, stage.start_step, steps)
    image = resize(image, size, plan.method, plan.upscale_model)
    start: LatentDict = {**(before or {}), "samples": encode(vae, image, plan.tiling)}
    return sample(stage, start, progress.next_stage())


def sample(stage: Stage, latent: LatentDict, callback: Callback) -> LatentDict:
    """Sample as KSampler does, or from `start_step` on as KSampler (Advanced) does with noise.

    callback: the cascade's own progress.
    """
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
