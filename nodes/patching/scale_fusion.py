"""Scale fusion, eq. 7, as ComfyUI's attention patches.

An attn1 replace computes both branches. For the 3-D blur an output patch fuses them.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...freescale_core.attention.attend import chunked_attention, in_chunks
from ...freescale_core.attention.blur import Gaussian
from ...freescale_core.attention.fusion import fuse_
from ...freescale_core.attention.neighbourhoods import neighbourhood_attention
from ...freescale_core.attention.overlapping import window_attention
from ...freescale_core.attention.strided import strided_attention
from ...freescale_core.attention.windows import Window, WindowGrid, window_rng
from ...freescale_core.geometry import Size, blur_kernel_size, level_of, level_size, strides_between
from ...freescale_core.settings import FusionSettings
from ..backbones.attention_call import AttentionCall, CallSigma, replaceable
from ..backbones.unet import BlockKey
from ..host.releases import uncompiled
from ..host.types import AttentionOptions
from .memory_budget import FreeMemory, MemoryBudget
from .sampler_run import SamplerRun
from .warn_once import WarnOnce

Tokens = tuple[Tensor, Tensor, Tensor]
"""q, k, v of one layer."""
AttentionReplace = Callable[..., Tensor]
"""ComfyUI's attn1 replace: (q, k, v, extra_options, mask=..., ...) -> out."""
BLUR_MIN_CHUNK_BYTES = 2**23
"""As memory_budget.MIN_CHUNK_BYTES, for a blur, which reads the rows around each chunk again."""
PART_TENSORS = 4
"""What a window, or a sub-grid, holds while it is attended: q, k, v and the result."""
ADDED_TENSORS = 4
"""What it holds of the tokens that other nodes added: k and v for each part, and again behind the part's own.
"""
BLOCK_NUMBERS = {"input": 0, "middle": 1, "output": 2}


def install(
    options: dict[str, Any],
    run: SamplerRun,
    settings: FusionSettings,
    blocks: list[BlockKey],
    free_memory: FreeMemory,
) -> None:
    """Put scale fusion into one run's transformer_options, in front of what other nodes put there."""
    fusion = ScaleFusion(run, settings, MemoryBudget(free_memory))
    replaced = options.setdefault("patches_replace", {}).setdefault("attn1", {})
    for key in replaceable(replaced, blocks):
        replaced[key] = uncompiled(FusedAttention(fusion, replaced.get(key)).__call__)
    if settings.over_channels:
        patches = options.setdefault("patches", {})
        # First, so that later output patches see one ordinary batch again.
        patches["attn1_output_patch"] = [output_patch(fusion), *patches.get("attn1_output_patch", [])]


@dataclass(frozen=True)
class ScaleFusion:
    """Scale fusion in one sampler run: what all its layers share."""

    run: SamplerRun
    settings: FusionSettings
    budget: MemoryBudget
    sigma_of: CallSigma = field(default_factory=CallSigma)
    warn: WarnOnce = field(default_factory=WarnOnce)

    def windows(self, call: AttentionCall) -> WindowGrid:
        """The windows of the call's UNet level, not drawn yet."""
        window = self.settings.window or self.run.base
        return WindowGrid(call.grid, level_size(window, level_of(call.grid, call.full)), self.settings.jitter)

    def gaussian(self, call: AttentionCall) -> Gaussian:
        """G of eq. 7 for the size of the model call."""
        kernel_size = self.settings.kernel_size or blur_kernel_size(self.run.scale_of(call.full))
        return Gaussian(kernel_size, self.settings.sigma, self.settings.over_channels)

    def fuse(self, both: Tensor, call: AttentionCall) -> Tensor:
        """Apply eq. 7 in place.

        `both` stacks global on local along the batch; returns its first half, which now holds the fused
        tokens.
        """
        global_out, local_out = both.chunk(2)
        # After the output projection the blur may take twice as much as inside attention: q and its windows
        # are gone by then.
        output_bytes = (both if self.settings.over_channels else local_out).nbytes
        retry = partial(
            self.budget.within,
            output_bytes=output_bytes,
            device=both.device,
            min_chunk_bytes=BLUR_MIN_CHUNK_BYTES,
        )
        return fuse_(global_out, local_out, call.grid, self.gaussian(call), retry)


class FusedAttention:
    """attn1 replace: both branches of scale fusion.

    With the 3-D blur it returns [global; local] stacked along the batch, which `output_patch` fuses after
    to_out.
    """

    def __init__(self, fusion: ScaleFusion, previous: AttentionReplace | None) -> None:
        """previous: an attn1 replace of another node. It serves as the global branch."""
        self._fusion, self._previous = fusion, previous

    def __call__(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        extra_options: AttentionOptions,
        mask: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        fusion, call = self._fusion, AttentionCall(extra_options, "attn1")
        unfused = partial(self._unfused, call, (q, k, v), extra_options, mask, **kwargs)
        # The call's own size decides: tiles, crops and areas of the base size are ordinary calls.
        if not fusion.run.acts_on(call.full) or _is_over_time(call, q):
            return unfused()
        sigma, windows, reason = (
            fusion.sigma_of(extra_options),
            fusion.windows(call),
            _not_fused(call.grid, q, k, mask),
        )
        if reason is not None:
            fusion.warn(f"{reason}: scale fusion is off in those layers.")
        # One window that covers the whole grid would give local = global.
        if reason is not None or windows.covers_grid or not fusion.run.is_on(fusion.settings, sigma):
            return unfused()
        if k.shape[1] > call.grid.area:
            fusion.warn(
                "another node added tokens to self-attention: both branches of scale fusion attend to them, "
                "which takes longer.",
                logging.INFO,
            )
        branches = Branches(fusion, call, sigma, windows, (q, k, v))
        # Both results in one tensor: ComfyUI projects them as an ordinary batch, and they are fused after it.
        both = v.new_empty((2 * len(q), *q.shape[1:]))
        global_out, local_out = both.chunk(2)
        if self._previous is None:
            fusion.budget.within(partial(branches.attend_globally, global_out), global_out.nbytes, v.device)
        else:
            global_out.copy_(unfused())
        fusion.budget.within(partial(branches.attend_locally, local_out), local_out.nbytes, v.device)
        # Over (h, w) alone the blur commutes with to_out, so half of the batch is enough for that.
        return both if fusion.settings.over_channels else fusion.fuse(both, call)

    def _unfused(
        self,
        call: AttentionCall,
        tokens: Tokens,
        extra_options: AttentionOptions,
        mask: Tensor | None,
        **kwargs: Any,
    ) -> Tensor:
        """The layer's attention without scale fusion."""
        if self._previous is None:
            return call.attend(*tokens, mask)
        return self._previous(*tokens, extra_options, **({} if mask is None else {"mask": mask}), **kwargs)


def _is_over_time(call: AttentionCall, q: Tensor) -> bool:
    """Whether a video model attends here from frame to frame.

    Where nothing marks it, as in other packs' layers: one row for each place of the grid.
    """
    return call.is_over_time or (q.shape[1] != call.grid.area and len(q) % call.grid.area == 0)


def _not_fused(grid: Size, q: Tensor, k: Tensor, mask: Tensor | None) -> str | None:
    """Why the queries and keys of a layer cannot be fused, or None."""
    if q.shape[1] != grid.area or k.shape[1] < grid.area:
        return "another node has tiled or merged the tokens (HyperTile, ToMe)"
    if mask is not None:
        return "another node masks self-attention"
    return None


class Branches:
    """Both branches of scale fusion for one layer of one model call.

    Keys and values beyond the image's own tokens come from other nodes (reference-only, StyleAligned),
    which append them: both branches attend to all of them, each window too.
    """

    def __init__(
        self, fusion: ScaleFusion, call: AttentionCall, sigma: float, windows: WindowGrid, tokens: Tokens
    ) -> None:
        """tokens: q (b, h*w, c), k and v (b, h*w + added, c)."""
        self._call, self._sigma, self._windows = call, sigma, windows
        self._seed, self._settings = fusion.run.seed, fusion.settings
        self._tokens = tokens
        added = tokens[1].shape[1] - call.grid.area
        self._added_share = ADDED_TENSORS * added / call.grid.area

    def attend_globally(self, out: Tensor, bytes_at_once: int) -> None:
        """Every token to every token, or in mode "fast" to those of its sub-grid; (b, h*w, c) into `out`."""
        if self._settings.mode == "exact":
            chunked_attention(*self._tokens, self._call.attend, bytes_at_once, out)
            return
        grid = self._call.grid
        strides = self._settings.strides or strides_between(self._windows.clipped, grid)
        share = PART_TENSORS / strides.area
        part_bytes = int(bytes_at_once * share / (share + self._added_share))
        for heads, (q, k, v), place in self._head_groups(out, share + self._added_share, bytes_at_once):
            # One sub-grid of a huge image can be more than may be held: then its queries go in chunks.
            attend = partial(chunked_attention, attend=heads.attend, bytes_at_once=bytes_at_once)
            strided_attention(q, k, v, grid, strides, attend, place, part_bytes)

    def attend_locally(self, out: Tensor, bytes_at_once: int) -> None:
        """Every token to its windows or its neighbourhood; (b, h*w, c) into `out`."""
        grid, window = self._call.grid, self._windows.clipped
        share = PART_TENSORS * window.area / grid.area
        drawn = self._draw() if self._settings.local == "windows" else ()
        groups = self._head_groups(out, share + self._added_share, bytes_at_once)
        # The functions below count windows by their own tokens alone.
        bytes_at_once = int(bytes_at_once * share / (share + self._added_share))
        for heads, (q, k, v), place in groups:
            if self._settings.local == "neighbourhoods":
                neighbourhood_attention(q, k, v, grid, window, heads.attend, place, bytes_at_once)
            else:
                pad = self._windows.jitter
                window_attention(q, k, v, grid, drawn, pad, heads.attend, place, bytes_at_once)

    def _head_groups(
        self, out: Tensor, share: float, bytes_at_once: int
    ) -> Iterator[tuple["HeadGroup", Tokens, Tensor]]:
        """Few groups of heads, of which one part of the image fits into `bytes_at_once`.

        At twice the base size a single window, or sub-grid, is a quarter of the image: its q, k, v and
        result together are as large as an attention output. Heads do not see each other, so some at a time
        need less.

        Args:
            share: bytes that one part takes with all heads, over those of `out`.

        Returns: the group, the image's own q, k, v of its heads, and its place in `out`.
        """
        heads, area = self._call.heads, self._call.grid.area
        max_heads = max(1, int(heads * bytes_at_once / (share * out.nbytes)))
        for some in in_chunks(range(heads), max_heads):
            channels = slice(some[0] * out.shape[2] // heads, (some[-1] + 1) * out.shape[2] // heads)
            q, k, v = (tokens[..., channels] for tokens in self._tokens)
            group = HeadGroup(self._call, len(some), k[:, area:], v[:, area:])
            yield group, (q, k[:, :area], v[:, :area]), out[..., channels]

    def _draw(self) -> Sequence[Window]:
        (name, number), index = self._call.block, self._call.transformer
        if self._settings.draw_windows:
            return self._settings.draw_windows(self._sigma, (name, number, index), self._windows)
        return self._windows.draw(window_rng(self._seed, self._sigma, BLOCK_NUMBERS[name], number, index))


@dataclass(frozen=True)
class HeadGroup:
    """Some heads of a layer, and what other nodes added behind the image's own keys and values."""

    call: AttentionCall
    heads: int
    added_k: Tensor
    added_v: Tensor

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention of n parts of the image, (n*b, tokens, c) with the n parts outermost."""
        if self.added_k.shape[1] > 0:
            parts = len(k) // len(self.added_k)
            k = torch.cat([k, self.added_k.repeat(parts, 1, 1)], dim=1)
            v = torch.cat([v, self.added_v.repeat(parts, 1, 1)], dim=1)
        return self.call.attend(q, k, v, heads=self.heads)


def output_patch(fusion: ScaleFusion) -> Callable[[Tensor, AttentionOptions], Tensor]:
    """attn1 output patch: fuse what `FusedAttention` stacked.

    A batch that it did not stack passes through unchanged; PAG, for example, replaces our attn1 patch.
    """

    def patch(n: Tensor, extra_options: AttentionOptions) -> Tensor:
        call = AttentionCall(extra_options, "attn1")
        # HyperTile's tiles make larger batches, too.
        if n.shape[0] != 2 * call.rows or n.shape[1] != call.grid.area:
            return n
        return fusion.fuse(n, call)

    return uncompiled(patch)
