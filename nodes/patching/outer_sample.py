"""The wrapper around a sampler run: it installs FreeScale on the guider's own copies, runs, and undoes it."""

import logging
from typing import Any

import torch
from comfy.model_patcher import create_model_options_clone
from comfy.patcher_extension import WrappersMP, add_wrapper_with_key
from torch import Tensor

from ...freescale_core.geometry import Size, to_pixels
from ...freescale_core.settings import DetailSettings, FreeScaleSettings
from ..backbones.backbone import backbone_of
from ..backbones.unet import attention_blocks, dilation_convs
from ..host.noise_level import timestep
from ..host.releases import free_memory_of, without_compiled_model
from ..host.types import Guider, ModelSampling
from . import prompt_regions, scale_fusion
from .detail_blend import with_detail_blend
from .dilation import DilatedCalls
from .rope import OWN_POSITIONS, RopeCalls, require_rope
from .rope import install as install_rope
from .sampler_run import SamplerRun, sampler_run
from .size_conditioning import with_base_size
from .step_times import StepClock, note_run, schedule_steps

log = logging.getLogger("FreeScale")
KEY = "freescale"
GOES_ON = "freescale_goes_on"
"""Attribute of a SAMPLER, true where its run is the second half of another."""


class OuterSample:
    """OUTER_SAMPLE wrapper: any sampler runs with the settings if the latent is above the base size."""

    def __init__(self, settings: FreeScaleSettings) -> None:
        self.settings = settings

    def __call__(
        self,
        executor: Any,
        noise: Tensor,
        latent_image: Tensor,
        sampler: Any,
        sigmas: Tensor,
        denoise_mask: Tensor | None = None,
        callback: Any = None,
        disable_pbar: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> Tensor:
        clock = StepClock(callback)
        rest = (sigmas, denoise_mask, clock, disable_pbar, seed)
        guider, settings = executor.class_obj, self.settings
        model_sampling = guider.model_patcher.get_model_object("model_sampling")
        is_packed = len(kwargs.get("latent_shapes") or ()) > 1
        run, backbone = None, backbone_of(guider.model_patcher)
        is_timed = backbone.is_unet and latent_image.ndim == 4 and not is_packed
        if backbone.takes(latent_image.ndim) and not is_packed:
            size = Size(*latent_image.shape[-2:])
            run = sampler_run(settings, size, model_sampling, seed, backbone.cell)
        if run is None:
            out: Tensor = executor(noise, latent_image, sampler, *rest, **kwargs)
            if is_timed:
                _note_time(guider, settings, latent_image, sigmas, clock, is_later=False)
            return out
        backbone.expect_fits(run.target)
        turns = settings.rope is not None or settings.neighbourhoods
        if turns:
            require_rope(guider.model_patcher)  # Other nodes may have come after FreeScale.
        if not getattr(sampler, GOES_ON, False):
            _log_restart(settings, latent_image, sigmas, model_sampling)
        if settings.detail is not None:
            sampler = _detail_sampler(settings.detail, noise, latent_image, sampler, model_sampling)
        saved = guider.model_options
        calls = DilatedCalls(run, settings.dilation)
        if backbone.is_unet:
            guider.model_options = _patched_options(saved, settings, run, guider, calls)
            guider.conds = with_base_size(guider.conds, to_pixels(run.base))
        elif turns:
            guider.model_options = _turned_options(saved, settings, run, guider)
        try:
            result: Tensor = executor(noise, latent_image, sampler, *rest, **kwargs)
        finally:
            guider.model_options = saved
        if settings.dilation is not None and not calls.ran:
            log.warning(
                "FreeScale: another node ran the UNet's layers itself (DeepCache, Kohya's HiresFix): "
                "dilated convolutions were off in this run."
            )
        if is_timed:
            _note_time(guider, settings, latent_image, sigmas, clock, is_later=True)
        return result


def _turned_options(
    model_options: dict[str, Any], settings: FreeScaleSettings, run: SamplerRun, guider: Guider
) -> dict[str, Any]:
    """A copy of the guider's model options with the rotary positions and neighbourhoods of the run."""
    options = create_model_options_clone(model_options)
    _uncompile(options)
    rope, is_near = settings.rope or OWN_POSITIONS, settings.neighbourhoods
    free_memory = free_memory_of(guider.model_patcher)
    install_rope(options.setdefault("transformer_options", {}), rope, free_memory, is_near)
    calls = RopeCalls(run, rope, is_near)
    add_wrapper_with_key(WrappersMP.APPLY_MODEL, KEY, calls, options, is_model_options=True)
    return options


def _uncompile(options: dict[str, Any]) -> None:
    if without_compiled_model(options):
        log.info(
            "FreeScale: the model is compiled (TorchCompileModel): runs above the base size go uncompiled."
        )


def _note_time(
    guider: Guider,
    settings: FreeScaleSettings,
    latent_image: Tensor,
    sigmas: Tensor,
    clock: StepClock,
    *,
    is_later: bool,
) -> None:
    """For the plan, which says how long a cascade will take here. is_later: the size is above the base."""
    is_empty = not torch.count_nonzero(latent_image)
    is_whole = float(sigmas[-1]) == 0
    if not is_later and not (is_empty and is_whole):
        return  # Image to image, inpainting or a detailer's crop, and no base image.
    steps = schedule_steps(settings, len(sigmas) - 1, is_empty) if is_whole else None
    kind, size = type(guider.model_patcher.model).__name__, to_pixels(Size(*latent_image.shape[2:]))
    note_run(kind, settings, size, len(latent_image), steps, clock)


def _patched_options(
    model_options: dict[str, Any],
    settings: FreeScaleSettings,
    run: SamplerRun,
    guider: Guider,
    calls: DilatedCalls,
) -> dict[str, Any]:
    """A copy of the guider's model options with the patches of the run."""
    options = create_model_options_clone(model_options)
    changes_network = settings.fusion or settings.dilation or settings.prompt_regions
    if changes_network:
        _uncompile(options)
    unet = guider.model_patcher.get_model_object("diffusion_model")
    blocks, transformer_options = attention_blocks(unet), options.setdefault("transformer_options", {})
    if settings.fusion is not None:
        if not blocks:
            log.warning("FreeScale: the model has no self-attention blocks: scale fusion has no effect.")
        free_memory = free_memory_of(guider.model_patcher)
        scale_fusion.install(transformer_options, run, settings.fusion, blocks, free_memory)
    if settings.prompt_regions:
        # Identify the positive conds by uuid: the meaning of an index in cond_or_uncond depends on the
        # guider.
        positive = frozenset(cond["uuid"] for cond in guider.conds.get("positive", []))
        prompt_regions.install(transformer_options, run.target, settings.prompt_regions, blocks, positive)
    if settings.dilation is not None and not dilation_convs(unet):
        log.warning(
            "FreeScale: the model has no convolutions below its last downsampler: dilation has no effect."
        )
    add_wrapper_with_key(WrappersMP.APPLY_MODEL, KEY, calls, options, is_model_options=True)
    return options


def _log_restart(
    settings: FreeScaleSettings, latent_image: Tensor, sigmas: Tensor, model_sampling: ModelSampling
) -> None:
    if torch.count_nonzero(latent_image) == 0:
        return
    t = timestep(model_sampling, float(sigmas[0]))
    low, high = settings.restart_range
    log.info("FreeScale: restart at t = %.0f (sigma %.3f).", t, float(sigmas[0]))
    if not low <= t <= high:
        log.warning(
            "FreeScale: restart at t = %.0f is outside %.0f to %.0f: change scheduler, steps or restart.",
            t,
            low,
            high,
        )


def _detail_sampler(
    detail: DetailSettings, noise: Tensor, latent_image: Tensor, sampler: Any, model_sampling: ModelSampling
) -> Any:
    """The SAMPLER with eq. 4.

    Or as it is, with a reason logged, where there is nothing to hold the run to.
    """
    if torch.count_nonzero(latent_image) == 0:
        log.info("FreeScale: detail control is off in this run: the latent is empty.")
        return sampler
    if torch.count_nonzero(noise) == 0:
        # A warning, since this is how the second half of a stage that is split over two KSampler (Advanced)
        # silently lets go of its image.
        log.warning(
            "FreeScale: detail control is off in this run: the run adds no noise, so there is nothing to "
            "hold it to. "
            "Sample a stage in one KSampler (Advanced), with add_noise enabled."
        )
        return sampler
    return with_detail_blend(sampler, detail, noise, model_sampling)
