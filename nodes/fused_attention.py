"""Scale fusion as the host's attention patches: an attn1 replace and, for the 3-D blur, an attn1 output patch."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from comfy.ldm.modules.attention import optimized_attention
from torch import Tensor

from ..freescale_core.geometry import Size, strides_between
from ..freescale_core.scale_fusion import fuse, fuse_in_parts
from ..freescale_core.settings import FusionSettings
from ..freescale_core.strided_attention import strided_attention
from ..freescale_core.window_attention import window_attention
from ..freescale_core.windows import Window, WindowGrid, window_rng
from .host import out_of_memory, uncompiled
from .stage_run import SIGMA_KEY, StageRun
from .unet import BlockKey

log = logging.getLogger("FreeScale")
QUERY_CHUNKS, CHANNEL_CHUNKS = 16, 8
"""Into how many parts attention and blur are cut once memory ran out."""
BLOCK_NUMBERS = {"input": 0, "middle": 1, "output": 2}


def install(options: dict[str, Any], run: StageRun, blocks: list[BlockKey]) -> None:
    """Put scale fusion into one run's transformer_options, in front of what other nodes put there."""
    replaced = options.setdefault("patches_replace", {}).setdefault("attn1", {})
    budget = ChunkBudget()
    # The host prefers another node's entry for one transformer of a block (SAG) to one for the block: that one is wrapped, too.
    for key in [*blocks, *(key for key in replaced if len(key) == 3 and key[:2] in blocks)]:
        replaced[key] = attention_patch(run, replaced.get(key), budget)
    if run.settings.fusion and run.settings.fusion.over_channels:
        patches = options.setdefault("patches", {})
        # First, so that later output patches see one ordinary batch again.
        patches["attn1_output_patch"] = [output_patch(run, budget), *patches.get("attn1_output_patch", [])]


class ChunkBudget:
    """Whether one run works in large or in small chunks: large, until the device is full. It also says once what it cannot do."""

    def __init__(self) -> None:
        self._small = False
        self._said = False

    def foreign_tokens(self) -> None:
        if not self._said:
            log.warning("FreeScale: other tokens than the picture's reach self-attention (HyperTile, ToMe): scale fusion is off there.")
        self._said = True

    def within(self, compute: Callable[[bool], Tensor]) -> Tensor:
        """compute(small) -> out, the same either way."""
        if not self._small:
            try:
                return compute(False)
            except RuntimeError as error:  # Cancel is no RuntimeError on any host.
                if not out_of_memory(error):
                    raise
            # Outside the except block, which would keep the failed call's tensors alive.
            log.warning("FreeScale: out of memory, attention goes on in small chunks for the rest of this run.")
            self._small = True
        return compute(True)


def attention_patch(run: StageRun, previous: Callable[..., Tensor] | None, budget: ChunkBudget) -> Callable[..., Tensor]:
    """attn1 replace: fused attention. `previous`, an attn1 replace of another node, serves as the global branch.

    With the 3-D blur it returns [global; local] stacked on the batch axis, to be fused after to_out.
    """
    fusion = run.settings.fusion or FusionSettings()

    def patch(q: Tensor, k: Tensor, v: Tensor, extra_options: dict[str, Any], mask: Tensor | None = None, **kwargs: Any) -> Tensor:
        def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
            precision = extra_options.get("attn_precision")
            return optimized_attention(
                q, k, v, extra_options["n_heads"], mask=mask, attn_precision=precision, transformer_options=extra_options
            )

        def whole() -> Tensor:
            if previous is None:
                return attend(q, k, v, mask)
            return previous(q, k, v, extra_options, **({} if mask is None else {"mask": mask}), **kwargs)

        grid = Size(*extra_options["activations_shape"][2:])
        windows = run.window_grid(grid, full=Size(*extra_options["original_shape"][2:]))
        if not q.shape[1] == k.shape[1] == grid.area:
            budget.foreign_tokens()
            return whole()
        if mask is not None or windows.covers_grid or extra_options[SIGMA_KEY] < run.fusion_end_sigma:
            return whole()

        def in_query_chunks(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return torch.cat([attend(part, k, v) for part in q.chunk(QUERY_CHUNKS, dim=1)], dim=1)

        def global_pass(small: bool) -> Tensor:
            attend_all = in_query_chunks if small else attend
            if fusion.mode == "fast":
                return strided_attention(q, k, v, grid, fusion.strides or strides_between(windows.clipped, grid), attend_all)
            return attend_all(q, k, v)

        global_ = budget.within(global_pass) if previous is None else whole()
        drawn = _draw(run, windows, extra_options)
        local = budget.within(lambda small: window_attention(q, k, v, grid, drawn, windows.jitter, attend, 1 if small else None))
        if fusion.over_channels:
            return torch.cat([global_, local])
        return _fused(run, budget, global_, local, grid)

    return uncompiled(patch)


def output_patch(run: StageRun, budget: ChunkBudget) -> Callable[[Tensor, dict[str, Any]], Tensor]:
    """attn1 output patch: fuse what `attention_patch` stacked; any other batch (PAG displaces the replace) passes through."""

    def patch(n: Tensor, extra_options: dict[str, Any]) -> Tensor:
        batch, _, height, width = extra_options["activations_shape"]
        if n.shape[0] != 2 * batch or n.shape[1] != height * width:  # HyperTile's tiles make larger batches, too.
            return n
        global_, local = n.chunk(2)
        return _fused(run, budget, global_, local, Size(height, width))

    return uncompiled(patch)


def _fused(run: StageRun, budget: ChunkBudget, global_: Tensor, local: Tensor, grid: Size) -> Tensor:
    fusion = run.settings.fusion or FusionSettings()
    how = (run.kernel_size, fusion.sigma, fusion.over_channels)

    def fused(small: bool) -> Tensor:
        if small:
            return fuse_in_parts(global_, local, grid, *how, channels_at_once=-(-global_.shape[2] // CHANNEL_CHUNKS))
        return fuse(global_, local, grid, *how)

    return budget.within(fused)


def _draw(run: StageRun, windows: WindowGrid, extra_options: dict[str, Any]) -> Sequence[Window]:
    name, number = extra_options["block"]
    index, sigma = extra_options["block_index"], extra_options[SIGMA_KEY]
    if run.settings.fusion and run.settings.fusion.draw_windows:
        return run.settings.fusion.draw_windows(sigma, (name, number, index), windows)
    return windows.draw(window_rng(run.seed, sigma, BLOCK_NUMBERS[name], number, index))
