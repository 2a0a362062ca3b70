"""Prompt regions as ComfyUI's cross-attention patches.

The regions' tokens are appended to the main prompt in attn2_patch, so the block's own to_k and to_v (LoRA and
offloading included) project them, and are split off again in attn2_replace. No module is referenced.
"""

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...freescale_core.attention.prompt_regions import regional_attention
from ...freescale_core.geometry import Size
from ...freescale_core.masks import repeat_to, resize_masks
from ...freescale_core.settings import PromptRegion
from ..backbones.attention_call import AttentionCall, replaceable
from ..backbones.unet import BlockKey
from ..host.releases import uncompiled
from ..host.types import AttentionOptions
from .warn_once import WarnOnce

log = logging.getLogger("FreeScale")


def install(
    options: dict[str, Any],
    target: Size,
    regions: tuple[PromptRegion, ...],
    blocks: list[BlockKey],
    positive: frozenset[Any],
) -> None:
    """Put the prompt regions into one run's transformer_options.

    target: latent cells of the run. positive: uuids of the conds that the regions belong to.
    """
    # A region that covers nothing is left out: then every bit is as without it.
    active = tuple(region for region in regions if region.strength > 0 and region.mask.any())
    if len(active) < len(regions):
        log.info("FreeScale: prompt regions with an empty mask or strength 0 are left out.")
    if not active:
        return
    if not blocks or not positive:
        log.warning(
            "FreeScale: prompt regions have no effect: the model has no cross-attention, or the guider no "
            "positive prompt."
        )
        return
    cache = RegionCache(active, target, frozenset(blocks), positive)
    patches = options.setdefault("patches", {})
    # Last, so that the patches of other nodes see the main prompt alone.
    patches["attn2_patch"] = [*patches.get("attn2_patch", []), context_patch(cache)]
    replaced = options.setdefault("patches_replace", {}).setdefault("attn2", {})
    for key in replaceable(replaced, blocks):
        replaced[key] = attention_patch(cache, replaced.get(key))


def context_patch(cache: "RegionCache") -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    """attn2 patch: append the regions' tokens to those of the main prompt."""

    def patch(
        n: Tensor, context: Tensor, value: Tensor, extra_options: AttentionOptions
    ) -> tuple[Tensor, Tensor, Tensor]:
        call = AttentionCall(extra_options, "attn2")
        if not cache.act_in(n, call):
            return n, context, value
        appended = cache.tokens(context, len(call.uuids))
        return n, torch.cat([context, appended], dim=1), torch.cat([value, appended], dim=1)

    return uncompiled(patch)


def attention_patch(cache: "RegionCache", previous: Callable[..., Tensor] | None) -> Callable[..., Tensor]:
    """attn2 replace: attend to the main prompt and to those of the regions.

    previous: an attn2 replace of another node. It gets the main prompt and each region's as if it were the
    only one.
    """

    def patch(q: Tensor, k: Tensor, v: Tensor, extra_options: AttentionOptions, **kwargs: Any) -> Tensor:
        call = AttentionCall(extra_options, "attn2")

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return call.attend(q, k, v) if previous is None else previous(q, k, v, extra_options, **kwargs)

        if not cache.act_in(q, call):
            return attend(q, k, v)
        return regional_attention(q, k, v, cache.lengths, cache.weights(q, call), attend)

    return uncompiled(patch)


class RegionCache:
    """Contexts and masks of the regions of one run, cached per device, dtype, batch size and token grid."""

    def __init__(
        self,
        regions: tuple[PromptRegion, ...],
        target: Size,
        blocks: frozenset[BlockKey],
        positive: frozenset[Any],
    ) -> None:
        self.lengths = [region.context.shape[1] for region in regions]
        self._regions, self._target, self._blocks, self._positive = regions, target, blocks, positive
        self._contexts: dict[Any, Tensor] = {}
        self._masks: dict[Any, list[Tensor]] = {}
        self._warn = WarnOnce()

    def act_in(self, tokens: Tensor, call: AttentionCall) -> bool:
        """Whether the regions apply to the layer's tokens, (rows, h*w, c); the same before and after to_q."""
        if tuple(tokens.shape[:2]) != (call.rows, call.grid.area) or call.block not in self._blocks:
            return False  # Another pack's rows, or attention over time.
        if call.is_over_time:
            return False
        if not self._positive.intersection(call.uuids):
            return False
        if call.full == self._target:
            return True
        self._warn(
            "prompt regions do not act in tiles or in conditioning that is bound to an area: give the "
            "conditioning a mask instead."
        )
        return False

    def tokens(self, context: Tensor, chunks: int) -> Tensor:
        """The regions' contexts, (rows, sum(lengths), c).

        They are the same for every chunk (cond, uncond) of the batch.
        """
        batch = context.shape[0] // chunks
        key = context.device, context.dtype, batch
        if key not in self._contexts:
            self._contexts[key] = torch.cat(
                [repeat_to(region.context.to(context), batch) for region in self._regions], dim=1
            )
        return self._contexts[key].repeat(chunks, 1, 1)

    def weights(self, q: Tensor, call: AttentionCall) -> list[Tensor]:
        """(rows, h*w, 1) for each region: mask times strength for the positive chunks, 0 for the others."""
        uuids, grid = call.uuids, call.grid
        batch = q.shape[0] // len(uuids)
        key = q.device, q.dtype, batch, grid
        if key not in self._masks:
            resized = (
                repeat_to(resize_masks(region.mask, grid), batch) * region.strength
                for region in self._regions
            )
            self._masks[key] = [mask.flatten(1)[..., None].to(q) for mask in resized]
        return [torch.cat([mask * (uuid in self._positive) for uuid in uuids]) for mask in self._masks[key]]
