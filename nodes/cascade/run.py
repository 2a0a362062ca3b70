"""The self-cascade as ordinary sampler runs: one per stage, each upscaled from the one before."""

import dataclasses
import functools
import logging
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import comfy.sample
import comfy.utils
from torch import Tensor

from ...freescale_core.geometry import Size, to_cells
from ...freescale_core.planning.plan import LATENT_METHOD, CascadePlan, is_of_latents
from ..host.releases import CatchOutOfMemory, without_grid_hints
from ..host.types import Callback, LatentDict, Vae
from ..patching.model import with_settings
from .experts import sampled_by_both
from .kept import KEPT, stage_keys
from .progress import CascadeProgress, StageWork
from .stages import Stage
from .start import FromImage, FromLatent, Start
from .upscale import resize, resize_latent
from .vae import decode, encode

log = logging.getLogger("FreeScale")


@dataclass(frozen=True)
class StageResult:
    """One finished stage."""

    latent: LatentDict | None
    """None for an image that came in."""
    image: Tensor | None
    """(b, H, W, 3); None if memory ran out while decoding, between the stages of a video (b, c, t, h, w), and
    without a VAE."""


def run_cascade(
    stages: list[Stage], vae: Vae | None, plan: CascadePlan, start: Start, origin: Hashable = None
) -> list[StageResult]:
    """All stages, the base included. stages: of the base and of each size of the plan.

    When a later stage runs out of memory, what is finished is returned and the log says so. vae: None = no
    stage is decoded, which only a plan of latents allows. origin: of `origin_of`.

    Raises:
        ValueError: a stage's MODEL has no UNet; nothing has been sampled then.
    """
    keys = stage_keys(stages, vae, plan, start, origin)
    kept = [KEPT.get(key) for key in keys]
    stages = _patched(stages)
    parts = zip(stages, (start.size, *plan.stages), kept, strict=True)
    to_sample = [
        StageWork(r, len(plan.stages), size, stage)
        for r, (stage, size, samples) in enumerate(parts)
        if samples is None and (r > 0 or (isinstance(start, FromLatent) and start.is_empty))
    ]
    with CascadeProgress(stages[0].model, to_sample) as progress:
        before, image = _base(stages[0], keys[0], kept[0], start, vae, plan, progress)
        results = [StageResult(before, image)]
        for r, size in enumerate(plan.stages, start=1):
            samples = kept[r]
            # An image that came in is no result, so then the error passes.
            with CatchOutOfMemory(when=before is not None) as sampling:
                if samples is None:
                    latent = _sampled(stages[r], r, before, image, size, vae, plan, progress)
                    KEPT.put(keys[r], latent["samples"])
                else:
                    latent = _kept(samples, before, r, size)
            if sampling.ran_out:
                KEPT.unfinished += 1
                log.error(
                    "FreeScale: stage %d (%s) ran out of memory, so the result is stage %d: "
                    "free memory and run again, which keeps the finished stages, or take a smaller factor.",
                    r,
                    size,
                    r - 1,
                )
                return results
            image, ran_out = _image_of(vae, latent, plan, size, progress, r)
            results.append(StageResult(latent, image))
            if ran_out:
                return results
            before = latent
    return results


def _patched(stages: Sequence[Stage]) -> list[Stage]:
    """The stages with their settings on their MODELs, those of both experts.

    Stages that share both share one patched MODEL, too, so that ComfyUI need not load it again.
    """
    patched = functools.cache(with_settings)

    def of(stage: Stage) -> Stage:
        low_noise = stage.low_noise
        if low_noise is not None:
            low_noise = dataclasses.replace(low_noise, model=patched(low_noise.model, stage.settings))
        return dataclasses.replace(stage, model=patched(stage.model, stage.settings), low_noise=low_noise)

    return [of(stage) for stage in stages]


def _kept(samples: Tensor, before: LatentDict | None, r: int, size: Size) -> LatentDict:
    """Stage r as an earlier run has finished it."""
    log.info("FreeScale: stage %d, %s, is kept from an earlier run.", r, size)
    return {**(before or {}), "samples": samples}


def _base(
    stage: Stage,
    key: Hashable,
    kept: Tensor | None,
    start: Start,
    vae: Vae | None,
    plan: CascadePlan,
    progress: CascadeProgress,
) -> tuple[LatentDict | None, Tensor | None]:
    """Latent and image (b, H, W, 3) of stage 0.

    No latent if an image came in, no image of a video (b, c, t, h, w).
    """
    if isinstance(start, FromImage):
        return None, start.image
    latent = start.latent
    if start.is_empty and kept is not None:
        latent = _kept(kept, latent, 0, start.size)
    elif start.is_empty:
        latent = sample(stage, latent, progress.next_stage())
        KEPT.put(key, latent["samples"])
    if is_of_latents(plan.method):
        return latent, _for_looking(vae, latent, plan, start.size, progress, 0)
    if is_video(latent) or vae is None:
        return latent, None
    return latent, _decoded(vae, latent, plan, start.size, progress)[..., :3]


def is_video(latent: LatentDict) -> bool:
    """Whether a latent holds more than one frame: its stages then grow without the VAE."""
    samples = latent["samples"]
    return samples.ndim == 5 and samples.shape[2] > 1


def _image_of(
    vae: Vae | None, latent: LatentDict, plan: CascadePlan, size: Size, progress: CascadeProgress, r: int
) -> tuple[Tensor | None, bool]:
    """The image (b, H, W, 3) of a later stage, and whether the cascade ends here for want of memory."""
    is_last = r == len(plan.stages)
    if is_of_latents(plan.method) and not is_last:
        return _for_looking(vae, latent, plan, size, progress, r), False
    if vae is None or (is_video(latent) and not is_last):
        return None, False
    with CatchOutOfMemory():
        return _decoded(vae, latent, plan, size, progress), False
    KEPT.unfinished += 1
    log.error(
        "FreeScale: decoding stage %d (%s) ran out of memory: its latent is returned, decode it with VAE "
        "Decode (Tiled).",
        r,
        size,
    )
    return None, True


def _for_looking(
    vae: Vae | None, latent: LatentDict, plan: CascadePlan, size: Size, progress: CascadeProgress, r: int
) -> Tensor | None:
    """The image (b, H, W, 3) of a stage whose latent the next one begins with; None if it cannot be had."""
    if vae is None or is_video(latent):
        return None
    with CatchOutOfMemory():
        return _decoded(vae, latent, plan, size, progress)[..., :3]
    log.warning(
        "FreeScale: decoding stage %d (%s) ran out of memory, so it is not shown; the cascade goes on with "
        "its latent.",
        r,
        size,
    )
    return None


def _decoded(
    vae: Vae, latent: LatentDict, plan: CascadePlan, size: Size, progress: CascadeProgress
) -> Tensor:
    """The image (b, H, W, 3) of a finished stage, shown under the node."""
    progress.say(f"decoding {size}")
    image = decode(vae, latent["samples"], plan.tiling)
    progress.show(image)
    return image


def _sampled(
    stage: Stage,
    r: int,
    before: LatentDict | None,
    image: Tensor | None,
    size: Size,
    vae: Vae | None,
    plan: CascadePlan,
    progress: CascadeProgress,
) -> LatentDict:
    """Stage r from the image or latent of the stage before. Its noise mask and batch index travel along."""
    steps = len(stage.sigmas()) - 1
    stages = len(plan.stages)
    log.info("FreeScale: stage %d of %d, %s, from step %d of %d.", r, stages, size, stage.start_step, steps)
    start: LatentDict = {**(before or {}), "samples": _enlarged(stage, before, image, size, vae, plan)}
    return sample(stage, start, progress.next_stage())


def _enlarged(
    stage: Stage,
    before: LatentDict | None,
    image: Tensor | None,
    size: Size,
    vae: Vae | None,
    plan: CascadePlan,
) -> Tensor:
    """The latent that a stage of `size` (pixels) begins with."""
    if image is not None and not is_of_latents(plan.method):
        assert vae is not None
        return encode(vae, resize(image, size, plan.method, plan.upscale_model), plan.tiling)
    method = plan.method if is_of_latents(plan.method) else LATENT_METHOD
    if before is not None:
        samples = before["samples"]
    else:
        assert image is not None and vae is not None
        samples = encode(vae, image, plan.tiling)
    return resize_latent(samples, to_cells(size, stage.backbone.cell), method)


def sample(stage: Stage, latent: LatentDict, callback: Callback) -> LatentDict:
    """Sample as KSampler does, or from `start_step` on as KSampler (Advanced) does with noise.

    callback: the cascade's own progress.
    """
    choice, samples = stage.choice, latent["samples"]
    noise = comfy.sample.prepare_noise(samples, choice.seed, latent.get("batch_index"))
    if stage.low_noise is not None:
        out = sampled_by_both(stage, stage.low_noise, latent, noise, callback)
        return {**without_grid_hints(latent), "samples": out}
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
