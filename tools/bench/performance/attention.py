"""One fused attention alone, called as the host calls it: for memory and growth, on meta tensors or real
ones."""

from typing import Any

import torch
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.settings import FusionSettings
from freescale_pack.nodes.backbones.attention_call import SIGMA_KEY, AttentionCall
from freescale_pack.nodes.patching.memory_budget import MemoryBudget
from freescale_pack.nodes.patching.sampler_run import SamplerRun
from freescale_pack.nodes.patching.scale_fusion import FusedAttention, ScaleFusion, output_patch
from torch import Tensor

from tools.bench.performance.models import flash_attention, scarce


class LoneAttention:
    """The self-attention of one block; window, grid: in tokens. fusion None: the host's plain attention.

    Temporaries get as little memory as they can do with on tensors without data, and on others if
    `little_memory` is set.

    `attend()` is the attention patch, to which the host gives q, k, v and from which its output projection
    goes on; `fuse()` is the output patch, on what that projection returned.
    """

    def __init__(
        self,
        window: Size,
        grid: Size,
        fusion: FusionSettings | None,
        channels: int,
        heads: int,
        little_memory: bool = False,
        **like: Any,
    ) -> None:
        self.tokens = tuple(_tokens(seed, (1, grid.area, channels), **like) for seed in range(3))
        self.fusion, cells = fusion, [1, 4, *grid]
        self._little_memory = little_memory or self.tokens[0].device.type == "meta"
        self.run = SamplerRun(window, grid, 0)
        self.options = {
            "n_heads": heads,
            "block": ("middle", 0),
            "block_index": 0,
            "activations_shape": [1, channels, *grid],
            "original_shape": cells,
            SIGMA_KEY: 3.0,
        }
        if self.tokens[0].device.type == "meta":
            self.options["optimized_attention_override"] = flash_attention

    @property
    def output_bytes(self) -> int:
        """Of one ordinary attention output."""
        return self.tokens[2].nbytes

    def attend(self) -> Tensor:
        if self.fusion is None:
            return AttentionCall(self.options, "attn1").attend(*self.tokens)
        return FusedAttention(self._shared(self.fusion), None)(*self.tokens, self.options)

    def fuse(self, projected: Tensor) -> Tensor:
        if self.fusion is None or not self.fusion.over_channels:
            return projected
        return output_patch(self._shared(self.fusion))(projected, self.options)

    def _shared(self, fusion: FusionSettings) -> ScaleFusion:
        """What the layers of one run share. New each time, as in a new run."""
        return ScaleFusion(self.run, fusion, self._budget())

    def _budget(self) -> MemoryBudget:
        return MemoryBudget(scarce(self.output_bytes)) if self._little_memory else MemoryBudget()

    def both(self) -> Tensor:
        return self.fuse(self.attend())


def _tokens(seed: int, shape: tuple[int, ...], **like: Any) -> Tensor:
    """The same in every run and on every device; without data on the meta device."""
    if torch.device(like.get("device", "cpu")).type == "meta":
        return torch.empty(shape, **like)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(
        like.get("device", "cpu"), like.get("dtype")
    )
