"""Prompt regions as the host's cross-attention patches.

The regions' tokens ride behind the main text through the block's own to_k and to_v (attn2 patch) and are told apart again in an
attn2 replace: one projection each, whatever device, offloading or LoRA the block is under, and no reference to any module.
"""

import logging
from collections.abc import Callable
from typing import Any

import torch
from comfy.ldm.modules.attention import optimized_attention
from torch import Tensor

from ..freescale_core.geometry import Size
from ..freescale_core.masks import repeat_to, resize_masks
from ..freescale_core.prompt_regions import regional_attention
from ..freescale_core.settings import PromptRegion
from .host import uncompiled
from .stage_run import StageRun
from .unet import BlockKey

log = logging.getLogger("FreeScale")


def install(options: dict[str, Any], run: StageRun, blocks: list[BlockKey], positive: frozenset[Any]) -> None:
    """Put the prompt regions into one run's transformer_options. positive: uuids of the conds they belong to."""
    # A region that covers nothing is left out: then every bit is as without it.
    active = tuple(region for region in run.settings.prompt_regions if region.strength > 0 and region.mask.any())
    if len(active) < len(run.settings.prompt_regions):
        log.info("FreeScale: prompt regions with an empty mask or strength 0 are left out.")
    if not active:
        return
    if not blocks or not positive:
        log.warning("FreeScale: prompt regions have no effect: the model has no cross-attention, or the guider no positive prompt.")
        return
    texts = RegionTexts(active, run.target, frozenset(blocks), positive)
    patches = options.setdefault("patches", {})
    # Last, so that the patches of other nodes see the main text alone.
    patches["attn2_patch"] = [*patches.get("attn2_patch", []), context_patch(texts)]
    replaced = options.setdefault("patches_replace", {}).setdefault("attn2", {})
    # Other nodes' keys may name a transformer inside a block, too: the host looks for those first.
    for key in {*blocks, *replaced}:
        replaced[key] = attention_patch(texts, replaced.get(key))


def context_patch(texts: "RegionTexts") -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    """attn2 patch: the regions' tokens behind those of the main text."""

    def patch(n: Tensor, context: Tensor, value: Tensor, extra_options: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        if not texts.act_in(n, extra_options):
            return n, context, value
        appended = texts.tokens(context, len(extra_options["uuids"]))
        return n, torch.cat([context, appended], dim=1), torch.cat([value, appended], dim=1)

    return uncompiled(patch)


def attention_patch(texts: "RegionTexts", previous: Callable[..., Tensor] | None) -> Callable[..., Tensor]:
    """attn2 replace. `previous`, an attn2 replace of another node, gets the main text and each region's text as if it were the only one."""

    def patch(q: Tensor, k: Tensor, v: Tensor, extra_options: dict[str, Any], **kwargs: Any) -> Tensor:
        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            if previous is not None:
                return previous(q, k, v, extra_options, **kwargs)
            precision = extra_options.get("attn_precision")
            return optimized_attention(q, k, v, extra_options["n_heads"], attn_precision=precision, transformer_options=extra_options)

        if not texts.act_in(q, extra_options):
            return attend(q, k, v)
        return regional_attention(q, k, v, texts.lengths, texts.weights(q, extra_options), attend)

    return uncompiled(patch)


class RegionTexts:
    """The regions of one run on whatever devices and grids its blocks have; each is brought there once."""

    def __init__(self, regions: tuple[PromptRegion, ...], target: Size, blocks: frozenset[BlockKey], positive: frozenset[Any]) -> None:
        self.lengths = [region.context.shape[1] for region in regions]
        self._regions, self._target, self._blocks, self._positive = regions, target, blocks, positive
        self._contexts: dict[Any, Tensor] = {}
        self._masks: dict[Any, list[Tensor]] = {}
        self._said = False

    def act_in(self, tokens: Tensor, extra_options: dict[str, Any]) -> bool:
        """Whether the regions apply to the block's tokens, (rows, h*w, c); the same before and after to_q."""
        rows, _, height, width = extra_options["activations_shape"]
        if tuple(tokens.shape[:2]) != (rows, height * width) or extra_options.get("block") not in self._blocks:
            return False  # Another pack's rows, or temporal attention.
        if not self._positive.intersection(extra_options["uuids"]):
            return False
        if Size(*extra_options["original_shape"][2:]) == self._target:
            return True
        if not self._said:
            log.warning("FreeScale: prompt regions do not act in conditioning that is bound to an area: give it a mask instead.")
            self._said = True
        return False

    def tokens(self, context: Tensor, chunks: int) -> Tensor:
        """(rows, sum(lengths), c): the regions' texts, the same for every chunk (cond, uncond) of the batch."""
        batch = context.shape[0] // chunks
        key = context.device, context.dtype, batch
        if key not in self._contexts:
            self._contexts[key] = torch.cat([repeat_to(region.context.to(context), batch) for region in self._regions], dim=1)
        return self._contexts[key].repeat(chunks, 1, 1)

    def weights(self, q: Tensor, extra_options: dict[str, Any]) -> list[Tensor]:
        """(rows, h*w, 1) for each region: mask times strength for the positive chunks, 0 for the others."""
        uuids = extra_options["uuids"]
        grid, batch = Size(*extra_options["activations_shape"][2:]), q.shape[0] // len(uuids)
        key = q.device, q.dtype, batch, grid
        if key not in self._masks:
            resized = (repeat_to(resize_masks(region.mask, grid), batch) * region.strength for region in self._regions)
            self._masks[key] = [mask.flatten(1)[..., None].to(q) for mask in resized]
        return [torch.cat([mask * (uuid in self._positive) for uuid in uuids]) for mask in self._masks[key]]
