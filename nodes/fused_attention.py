"""Scale fusion as the host's attention patches: an attn1 replace and, for the 3-D blur, an attn1 output patch."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from comfy import model_management
from torch import Tensor

from ..freescale_core.chunked_attention import chunked_attention
from ..freescale_core.geometry import Size, strides_between
from ..freescale_core.neighbourhood_attention import neighbourhood_attention
from ..freescale_core.scale_fusion import fuse_
from ..freescale_core.strided_attention import strided_attention
from ..freescale_core.window_attention import in_chunks, window_attention
from ..freescale_core.windows import Window, WindowGrid, window_rng
from .attention_call import AttentionCall, CallSigma
from .host import attention_keeps_scores, out_of_memory, uncompiled
from .stage_run import StageRun
from .unet import BlockKey
from .warn_once import WarnOnce

log = logging.getLogger("FreeScale")
T = TypeVar("T")
Tokens = tuple[Tensor, Tensor, Tensor]
"""q, k, v of one layer."""
FreeMemory = Callable[[torch.device], float]
"""Bytes that are free on a device."""
FREE_SHARE = 4
"""Temporaries get at most one part in so many of the memory that is free when a run begins to attend, but at least what
FULL_SHARE says."""
OUTPUT_SHARE = 2
"""One part in so many of an attention output is enough for them, however little is free. Smaller parts only add calls."""
AMPLE_SHARE = 16
"""One part in so many of a GPU's free memory is taken to save calls: on a fast GPU each costs more than it computes."""
AMPLE_DEVICES = ("cuda", "xpu", "meta")
"""A CPU is faster in small chunks, and Apple's GPUs have limits of their own."""
FULL_SHARE = 16
"""The same once memory ran out, or where none is free."""
WORTH_CUTTING = 2**22
"""Never split below this size: smaller chunks only add kernel launches. Half of SDXL's smallest output from 2048 px on is larger."""
BLUR_WORTH_CUTTING = 2**23
"""The same for a blur, which reads the rows around each piece again."""
PART_TENSORS = 4
"""What a window, or a sub-grid, holds while it is attended: q, k, v and the result."""
ADDED_TENSORS = 4
"""What it holds of the tokens that other nodes added: k and v for each part, and again behind the part's own."""
BLOCK_NUMBERS = {"input": 0, "middle": 1, "output": 2}


def install(
    options: dict[str, Any], run: StageRun, blocks: list[BlockKey], free_memory: FreeMemory = model_management.get_free_memory
) -> None:
    """Put scale fusion into one run's transformer_options, in front of what other nodes put there."""
    replaced = options.setdefault("patches_replace", {}).setdefault("attn1", {})
    budget, warn = ChunkBudget(free_memory), WarnOnce()
    sigma_of = CallSigma()
    # ComfyUI looks up (name, block, transformer) before (name, block). Such entries of other nodes (SAG) are wrapped, too,
    # or they would bypass scale fusion.
    for key in [*blocks, *(key for key in replaced if len(key) == 3 and key[:2] in blocks)]:
        replaced[key] = attention_patch(run, replaced.get(key), budget, sigma_of, warn)
    if run.fusion.over_channels:
        patches = options.setdefault("patches", {})
        # First, so that later output patches see one ordinary batch again.
        patches["attn1_output_patch"] = [output_patch(run, budget), *patches.get("attn1_output_patch", [])]


class ChunkBudget:
    """Upper bound, in bytes, of the temporaries of one attention or blur call: half an attention output, or a sixteenth of
    a GPU's free memory where that is more. Less where little memory is free. Drops to 1/16 of an output after an
    out-of-memory error. Changes results by rounding at most.
    """

    def __init__(self, free_memory: FreeMemory = model_management.get_free_memory) -> None:
        self._free_memory = free_memory
        self._free: dict[torch.device, float] = {}
        self._full = False

    def within(self, compute: Callable[[int], T], output_bytes: int, device: torch.device, worth_cutting: int = WORTH_CUTTING) -> T:
        """compute(bytes), again with less if memory runs out. output_bytes: of one attention output."""
        if device not in self._free:
            self._free[device] = self._free_memory(device)
        free, least = self._free[device], output_bytes // FULL_SHARE
        ample = int(free / AMPLE_SHARE) if device.type in AMPLE_DEVICES and not attention_keeps_scores() else 0
        most = max(output_bytes // OUTPUT_SHARE, worth_cutting, ample)
        if not self._full:
            try:
                return compute(max(least, min(most, int(free / FREE_SHARE))))
            except RuntimeError as error:  # Cancel is no RuntimeError on any host.
                if not out_of_memory(error):
                    raise
            # Outside the except block, which would keep the failed call's tensors alive.
            log.warning("FreeScale: out of memory, attention goes on in small chunks for the rest of this run.")
            self._full = True
        return compute(least)


def attention_patch(
    run: StageRun, previous: Callable[..., Tensor] | None, budget: ChunkBudget, sigma_of: CallSigma, warn: WarnOnce
) -> Callable[..., Tensor]:
    """attn1 replace: fused attention. `previous`, an attn1 replace of another node, serves as the global branch.

    With the 3-D blur it returns [global; local] stacked on the batch axis, to be fused after to_out.
    """

    def patch(q: Tensor, k: Tensor, v: Tensor, extra_options: dict[str, Any], mask: Tensor | None = None, **kwargs: Any) -> Tensor:
        call = AttentionCall(extra_options, "attn1")

        def whole() -> Tensor:
            """The layer's attention without scale fusion."""
            if previous is None:
                return call.attend(q, k, v, mask)
            return previous(q, k, v, extra_options, **({} if mask is None else {"mask": mask}), **kwargs)

        # The call's own size decides: tiles, crops and areas of the base size are ordinary calls.
        if not run.acts_on(call.full) or _is_temporal(call.grid, q):
            return whole()
        sigma = sigma_of(extra_options)
        windows = run.window_grid(call.grid, call.full)
        reason = _not_fused(call.grid, q, k, mask)
        if reason is not None:
            warn(f"{reason}: scale fusion is off in those layers.")
        if reason is not None or windows.covers_grid or not run.is_on(run.settings.fusion, sigma):
            return whole()
        if k.shape[1] > call.grid.area:
            warn(
                "another node added tokens to self-attention: both branches of scale fusion attend to them, which takes longer.",
                logging.INFO,
            )
        branches = Branches(run, call, sigma, windows, (q, k, v))
        both = v.new_empty((2 * len(q), *q.shape[1:]))
        global_, local = both[: len(q)], both[len(q) :]
        if previous is None:
            budget.within(lambda size: branches.attend_globally(global_, size), global_.nbytes, v.device)
        else:
            global_.copy_(whole())
        budget.within(lambda size: branches.attend_locally(local, size), local.nbytes, v.device)
        return both if run.fusion.over_channels else _fused(run, budget, both, call)

    return uncompiled(patch)


def _is_temporal(grid: Size, q: Tensor) -> bool:
    """Whether a video model attends here from frame to frame: one row for each place of the grid."""
    return q.shape[1] != grid.area and len(q) % grid.area == 0


def _not_fused(grid: Size, q: Tensor, k: Tensor, mask: Tensor | None) -> str | None:
    """Why the queries and keys of a layer cannot be fused, or None."""
    if q.shape[1] != grid.area or k.shape[1] < grid.area:
        return "another node has tiled or merged the tokens (HyperTile, ToMe)"
    if mask is not None:
        return "another node masks self-attention"
    return None


class Branches:
    """Both branches of scale fusion for one layer of one model call.

    Keys and values beyond the picture's own tokens come from other nodes (reference-only, StyleAligned), which append them:
    both branches attend to all of them, each window too.
    """

    def __init__(self, run: StageRun, call: AttentionCall, sigma: float, windows: WindowGrid, tokens: Tokens) -> None:
        """tokens: q (b, h*w, c), k and v (b, h*w + added, c)."""
        self._run, self._call, self._sigma, self._windows = run, call, sigma, windows
        self._fusion = run.fusion
        self._tokens = tokens
        added = tokens[1].shape[1] - call.grid.area
        self._added_share = ADDED_TENSORS * added / call.grid.area

    def attend_globally(self, out: Tensor, bytes_at_once: int) -> None:
        """Every token to every token, or in mode "fast" to those of its strided sub-grid; (b, h*w, c) into `out`."""
        if self._fusion.mode == "exact":
            chunked_attention(*self._tokens, self._call.attend, bytes_at_once, out)
            return
        grid = self._call.grid
        strides = self._fusion.strides or strides_between(self._windows.clipped, grid)
        share = PART_TENSORS / strides.area
        for heads, (q, k, v), place in self._head_groups(out, share + self._added_share, bytes_at_once):
            # One sub-grid of a huge picture can be more than may be held: then its queries go in pieces.
            attend = partial(chunked_attention, attend=heads.attend, bytes_at_once=bytes_at_once)
            strided_attention(q, k, v, grid, strides, attend, place, int(bytes_at_once * share / (share + self._added_share)))

    def attend_locally(self, out: Tensor, bytes_at_once: int) -> None:
        """Every token to its windows or its neighbourhood; (b, h*w, c) into `out`."""
        grid, window = self._call.grid, self._windows.clipped
        share = PART_TENSORS * window.area / grid.area
        drawn = self._draw() if self._fusion.local == "windows" else ()
        groups = self._head_groups(out, share + self._added_share, bytes_at_once)
        # The functions below count windows by their own tokens alone.
        bytes_at_once = int(bytes_at_once * share / (share + self._added_share))
        for heads, (q, k, v), place in groups:
            if self._fusion.local == "neighbourhoods":
                neighbourhood_attention(q, k, v, grid, window, heads.attend, place, bytes_at_once)
            else:
                window_attention(q, k, v, grid, drawn, self._windows.jitter, heads.attend, place, bytes_at_once)

    def _head_groups(self, out: Tensor, share: float, bytes_at_once: int) -> Iterator[tuple["HeadGroup", Tokens, Tensor]]:
        """Few groups of heads, of which one part of the picture fits into `bytes_at_once`.

        At twice the base size a single window, or sub-grid, is a quarter of the picture: its q, k, v and result together
        are as large as an attention output. Heads do not see each other, so some of them at a time need less.

        Args:
            share: bytes that one part takes with all heads, over those of `out`.

        Returns: the group, the picture's own q, k, v of its heads, and its place in `out`.
        """
        heads, area = self._call.heads, self._call.grid.area
        most = max(1, int(heads * bytes_at_once / (share * out.nbytes)))
        for some in in_chunks(range(heads), most):
            channels = slice(some[0] * out.shape[2] // heads, (some[-1] + 1) * out.shape[2] // heads)
            q, k, v = (tokens[..., channels] for tokens in self._tokens)
            yield HeadGroup(self._call, len(some), k[:, area:], v[:, area:]), (q, k[:, :area], v[:, :area]), out[..., channels]

    def _draw(self) -> Sequence[Window]:
        (name, number), index = self._call.block, self._call.transformer
        if self._fusion.draw_windows:
            return self._fusion.draw_windows(self._sigma, (name, number, index), self._windows)
        return self._windows.draw(window_rng(self._run.seed, self._sigma, BLOCK_NUMBERS[name], number, index))


@dataclass(frozen=True)
class HeadGroup:
    """Some heads of a layer, and the keys and values (b, added, c) that other nodes added behind the picture's own."""

    call: AttentionCall
    heads: int
    added_k: Tensor
    added_v: Tensor

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention of n parts of the picture, (n*b, tokens, c) with the n parts outermost."""
        if self.added_k.shape[1] > 0:
            parts = len(k) // len(self.added_k)
            k = torch.cat([k, self.added_k.repeat(parts, 1, 1)], dim=1)
            v = torch.cat([v, self.added_v.repeat(parts, 1, 1)], dim=1)
        return self.call.attend(q, k, v, heads=self.heads)


def output_patch(run: StageRun, budget: ChunkBudget) -> Callable[[Tensor, dict[str, Any]], Tensor]:
    """attn1 output patch: fuse what `attention_patch` stacked.

    A batch that it did not stack passes through unchanged; PAG, for example, replaces our attn1 patch.
    """

    def patch(n: Tensor, extra_options: dict[str, Any]) -> Tensor:
        call = AttentionCall(extra_options, "attn1")
        if n.shape[0] != 2 * call.rows or n.shape[1] != call.grid.area:  # HyperTile's tiles make larger batches, too.
            return n
        return _fused(run, budget, n, call)

    return uncompiled(patch)


def _fused(run: StageRun, budget: ChunkBudget, both: Tensor, call: AttentionCall) -> Tensor:
    """Apply eq. 7 in place. `both` stacks global on local along the batch; returns its first half, which holds the fused tokens."""
    fusion = run.fusion
    global_, local = both[: len(both) // 2], both[len(both) // 2 :]
    # After the output projection the blur may take twice as much as inside attention: q and its windows are gone by then.
    output_bytes = (both if fusion.over_channels else local).nbytes
    within = partial(budget.within, output_bytes=output_bytes, device=both.device, worth_cutting=BLUR_WORTH_CUTTING)
    return fuse_(global_, local, call.grid, run.kernel_size_of(call.full), fusion.sigma, fusion.over_channels, within)
