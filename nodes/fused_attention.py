"""Scale fusion as the host's attention patches: an attn1 replace and, for the 3-D blur, an attn1 output patch."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import torch
from comfy import model_management
from comfy.ldm.modules.attention import optimized_attention
from torch import Tensor

from ..freescale_core.chunked_attention import chunked_attention
from ..freescale_core.geometry import Size, strides_between
from ..freescale_core.neighbourhood_attention import neighbourhood_attention
from ..freescale_core.scale_fusion import fuse_
from ..freescale_core.settings import FusionSettings
from ..freescale_core.strided_attention import strided_attention
from ..freescale_core.window_attention import window_attention
from ..freescale_core.windows import Window, WindowGrid, window_rng
from .host import out_of_memory, uncompiled
from .stage_run import SIGMA_KEY, StageRun
from .unet import BlockKey

log = logging.getLogger("FreeScale")
T = TypeVar("T")
FreeMemory = Callable[[torch.device], float]
"""Bytes that are free on a device."""
FREE_SHARE = 4
"""Temporaries get at most one part in so many of the memory that is free when a run begins to attend."""
OUTPUT_SHARE = 2
"""They get at most one part in so many of an attention output. Smaller parts only add calls."""
FULL_SHARE = 16
"""The same once memory ran out, or where none is free."""
WORTH_CUTTING = 2**22
"""Never split below this size: smaller chunks only add kernel launches. Half of SDXL's smallest output from 2048 px on is larger."""
BLUR_WORTH_CUTTING = 2**23
"""The same for a blur, which reads the rows around each piece again."""
BLOCK_NUMBERS = {"input": 0, "middle": 1, "output": 2}


def install(
    options: dict[str, Any], run: StageRun, blocks: list[BlockKey], free_memory: FreeMemory = model_management.get_free_memory
) -> None:
    """Put scale fusion into one run's transformer_options, in front of what other nodes put there."""
    replaced = options.setdefault("patches_replace", {}).setdefault("attn1", {})
    budget = ChunkBudget(free_memory)
    # The host prefers another node's entry for one transformer of a block (SAG) to one for the block: that one is wrapped, too.
    for key in [*blocks, *(key for key in replaced if len(key) == 3 and key[:2] in blocks)]:
        replaced[key] = attention_patch(run, replaced.get(key), budget)
    if run.settings.fusion and run.settings.fusion.over_channels:
        patches = options.setdefault("patches", {})
        # First, so that later output patches see one ordinary batch again.
        patches["attn1_output_patch"] = [output_patch(run, budget), *patches.get("attn1_output_patch", [])]


class ChunkBudget:
    """Upper bound, in bytes, of the temporaries of one attention or blur call: half an attention output, but not for
    tiny ones. Less where little memory is free. Drops to 1/16 of an output after an out-of-memory error.
    Changes results by rounding at most.

    It also says once what it cannot do.
    """

    def __init__(self, free_memory: FreeMemory = model_management.get_free_memory) -> None:
        self._free_memory = free_memory
        self._most: dict[torch.device, int] = {}
        self._full = False
        self._said = False

    def foreign_tokens(self) -> None:
        if not self._said:
            log.warning("FreeScale: other tokens than the picture's reach self-attention (HyperTile, ToMe): scale fusion is off there.")
        self._said = True

    def within(self, compute: Callable[[int], T], output_bytes: int, device: torch.device, worth_cutting: int = WORTH_CUTTING) -> T:
        """compute(bytes), again with less if memory runs out. output_bytes: of one attention output."""
        if device not in self._most:
            self._most[device] = int(self._free_memory(device) / FREE_SHARE)
        least, most = output_bytes // FULL_SHARE, max(output_bytes // OUTPUT_SHARE, worth_cutting)
        if not self._full:
            try:
                return compute(max(least, min(most, self._most[device])))
            except RuntimeError as error:  # Cancel is no RuntimeError on any host.
                if not out_of_memory(error):
                    raise
            # Outside the except block, which would keep the failed call's tensors alive.
            log.warning("FreeScale: out of memory, attention goes on in small chunks for the rest of this run.")
            self._full = True
        return compute(least)


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

        both = v.new_empty((2 * len(v), *v.shape[1:]))
        global_, local = both[: len(v)], both[len(v) :]

        def global_pass(size: int) -> Tensor:
            if fusion.mode == "exact":
                return chunked_attention(q, k, v, attend, size, global_)
            strides = fusion.strides or strides_between(windows.clipped, grid)
            return strided_attention(q, k, v, grid, strides, partial(chunked_attention, attend=attend, bytes_at_once=size), global_)

        def local_pass(size: int) -> Tensor:
            if fusion.local == "neighbourhoods":
                return neighbourhood_attention(q, k, v, grid, windows.clipped, attend, local, size)
            return window_attention(q, k, v, grid, _draw(run, windows, extra_options), windows.jitter, attend, local, size)

        if previous is None:
            budget.within(global_pass, v.nbytes, v.device)
        else:
            global_.copy_(whole())
        budget.within(local_pass, v.nbytes, v.device)
        return both if fusion.over_channels else _fused(run, budget, both, grid)

    return uncompiled(patch)


def output_patch(run: StageRun, budget: ChunkBudget) -> Callable[[Tensor, dict[str, Any]], Tensor]:
    """attn1 output patch: fuse what `attention_patch` stacked; any other batch (PAG displaces the replace) passes through."""

    def patch(n: Tensor, extra_options: dict[str, Any]) -> Tensor:
        batch, _, height, width = extra_options["activations_shape"]
        if n.shape[0] != 2 * batch or n.shape[1] != height * width:  # HyperTile's tiles make larger batches, too.
            return n
        return _fused(run, budget, n, Size(height, width))

    return uncompiled(patch)


def _fused(run: StageRun, budget: ChunkBudget, both: Tensor, grid: Size) -> Tensor:
    """Apply eq. 7 in place. `both` stacks global on local along the batch; returns its first half, which now holds the fused tokens."""
    fusion = run.settings.fusion or FusionSettings()
    global_, local = both[: len(both) // 2], both[len(both) // 2 :]
    # After the output projection the blur may take twice as much as inside attention: q and its windows are gone by then.
    output_bytes = (both if fusion.over_channels else local).nbytes
    within = partial(budget.within, output_bytes=output_bytes, device=both.device, worth_cutting=BLUR_WORTH_CUTTING)
    return fuse_(global_, local, grid, run.kernel_size, fusion.sigma, fusion.over_channels, within)


def _draw(run: StageRun, windows: WindowGrid, extra_options: dict[str, Any]) -> Sequence[Window]:
    name, number = extra_options["block"]
    index, sigma = extra_options["block_index"], extra_options[SIGMA_KEY]
    if run.settings.fusion and run.settings.fusion.draw_windows:
        return run.settings.fusion.draw_windows(sigma, (name, number, index), windows)
    return windows.draw(window_rng(run.seed, sigma, BLOCK_NUMBERS[name], number, index))
