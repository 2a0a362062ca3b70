"""The one thing a FreeScale patch stores on a MODEL: frozen settings and the OUTER_SAMPLE wrapper that applies them.

Everything else is installed per run on the guider's own copies and vanishes with the run.
"""

import dataclasses
import logging
from typing import Any

import torch
from comfy.model_patcher import create_model_options_clone
from comfy.patcher_extension import WrappersMP, add_wrapper_with_key
from torch import Tensor

from ..freescale_core.geometry import Size, to_pixels
from ..freescale_core.settings import DetailSettings, FreeScaleSettings
from . import fused_attention, region_attention
from .detail_sampler import with_detail_blend
from .host import free_memory_of, without_compiled_model
from .model_call import DilatedCalls
from .noise_level import timestep
from .size_conditioning import with_base_size
from .stage_run import StageRun, stage_run
from .unet import attention_blocks, dilation_convs, require_text_width, require_unet

log = logging.getLogger("FreeScale")
KEY = "freescale"


class StageSampling:
    """OUTER_SAMPLE wrapper: runs any sampler with the settings, if the latent is larger than the base size."""

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
        rest = (sigmas, denoise_mask, callback, disable_pbar, seed)
        guider = executor.class_obj
        model_sampling = guider.model_patcher.get_model_object("model_sampling")
        packed = len(kwargs.get("latent_shapes") or ()) > 1
        run = None if packed or latent_image.ndim != 4 else stage_run(self.settings, Size(*latent_image.shape[2:]), model_sampling, seed)
        if run is None:
            return executor(noise, latent_image, sampler, *rest, **kwargs)
        _log_restart(run, latent_image, sigmas, model_sampling)
        if run.settings.detail is not None:
            sampler = _detail_sampler(run.settings.detail, noise, latent_image, sampler, model_sampling)
        saved = guider.model_options
        calls = DilatedCalls(run)
        guider.model_options = _patched_options(saved, run, guider, calls)
        guider.conds = with_base_size(guider.conds, to_pixels(run.base))
        try:
            result: Tensor = executor(noise, latent_image, sampler, *rest, **kwargs)
        finally:
            guider.model_options = saved
        if run.settings.dilation is not None and not calls.ran:
            log.warning(
                "FreeScale: another node ran the UNet's layers itself (DeepCache, Kohya's HiresFix): "
                "dilated convolutions were off in this run."
            )
        return result


def settings_of(model: Any) -> FreeScaleSettings | None:
    """The settings a MODEL carries, or None."""
    wrappers = model.get_wrappers(WrappersMP.OUTER_SAMPLE, KEY)
    return wrappers[0].settings if wrappers else None


def with_settings(model: Any, settings: FreeScaleSettings) -> Any:
    """A clone of the MODEL that carries `settings` in place of any it had.

    Raises:
        ValueError: the MODEL has no UNet, or a prompt region's text is not for it.
    """
    require_unet(model)
    for region in settings.prompt_regions:
        require_text_width(model, region.context)
    patched = model.clone()
    patched.remove_wrappers_with_key(WrappersMP.OUTER_SAMPLE, KEY)
    patched.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, StageSampling(settings))
    return patched


def with_changes(model: Any, **parts: Any) -> Any:
    """A clone of the MODEL whose settings differ in `parts`; parts the MODEL does not have yet start as off."""
    current = settings_of(model) or FreeScaleSettings(fusion=None, dilation=None, detail=None)
    return with_settings(model, dataclasses.replace(current, **parts))


def _patched_options(model_options: dict[str, Any], run: StageRun, guider: Any, calls: DilatedCalls) -> dict[str, Any]:
    options = create_model_options_clone(model_options)
    changes_network = run.settings.fusion is not None or run.settings.dilation is not None or bool(run.settings.prompt_regions)
    if changes_network and without_compiled_model(options):
        log.info("FreeScale: the model is compiled (TorchCompileModel): runs above the base size go uncompiled.")
    unet = guider.model_patcher.get_model_object("diffusion_model")
    blocks = attention_blocks(unet)
    if run.settings.fusion is not None:
        if not blocks:
            log.warning("FreeScale: the model has no self-attention blocks: scale fusion has no effect.")
        fused_attention.install(options.setdefault("transformer_options", {}), run, blocks, free_memory_of(guider.model_patcher))
    if run.settings.prompt_regions:
        # By uuid, for the number in cond_or_uncond means something else to every guider.
        positive = frozenset(cond["uuid"] for cond in guider.conds.get("positive", []))
        region_attention.install(options.setdefault("transformer_options", {}), run, blocks, positive)
    if run.settings.dilation is not None and not dilation_convs(unet):
        log.warning("FreeScale: the model has no convolutions below its last downsampler: dilation has no effect.")
    add_wrapper_with_key(WrappersMP.APPLY_MODEL, KEY, calls, options, is_model_options=True)
    return options


def _log_restart(run: StageRun, latent_image: Tensor, sigmas: Tensor, model_sampling: Any) -> None:
    if torch.count_nonzero(latent_image) == 0:
        return
    t = timestep(model_sampling, float(sigmas[0]))
    low, high = run.settings.restart_range
    log.info("FreeScale: restart at t = %.0f (sigma %.3f).", t, float(sigmas[0]))
    if not low <= t <= high:
        log.warning("FreeScale: restart at t = %.0f is outside %.0f to %.0f: change scheduler, steps or restart.", t, low, high)


def _detail_sampler(detail: DetailSettings, noise: Tensor, latent_image: Tensor, sampler: Any, model_sampling: Any) -> Any:
    if torch.count_nonzero(latent_image) == 0:
        log.info("FreeScale: detail control is off in this run: the latent is empty.")
        return sampler
    if torch.count_nonzero(noise) == 0:
        # A warning, since this is how the second half of a stage split over two KSampler (Advanced) silently lets go of its picture.
        log.warning(
            "FreeScale: detail control is off in this run: the run adds no noise, so there is nothing to hold it to. "
            "Sample a stage in one KSampler (Advanced), with add_noise enabled."
        )
        return sampler
    return with_detail_blend(sampler, detail, noise, model_sampling)
