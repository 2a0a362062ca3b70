"""One attention of one layer, as ComfyUI describes it to its attention patches."""

from typing import Any

from comfy.ldm.modules import attention
from torch import Tensor

from ...freescale_core.geometry import Size
from ..host.types import AttentionOptions
from .unet import BlockKey, preferred_attention
from .video import OVER_TIME_KEY

SIGMA_KEY = "freescale_sigma"
"""transformer_options entry: the noise level of the model call, read from the device once per call."""
PREFERRED_KEY = "freescale_preferred_attention"
"""transformer_options entry: the attention kernels that a checkpoint prescribes for single layers."""


class AttentionCall:
    """Reads what ComfyUI hands to each attention patch, and computes attention as the layer itself would."""

    def __init__(self, extra_options: AttentionOptions, layer: str) -> None:
        """layer: "attn1" (self-attention) or "attn2" (cross-attention)."""
        self._options = extra_options
        self._layer = layer

    @property
    def rows(self) -> int:
        """Images times conds in the batch."""
        return int(self._options["activations_shape"][0])

    @property
    def grid(self) -> Size:
        """The level's tokens (h, w)."""
        return Size(*self._options["activations_shape"][2:])

    @property
    def full(self) -> Size:
        """Latent cells of the model call, an area's or a tile's where there is one."""
        return Size(*self._options["original_shape"][2:])

    @property
    def block(self) -> BlockKey:
        """The block of the layer; ("", 0) outside the UNet's blocks."""
        block: BlockKey = self._options.get("block", ("", 0))
        return block

    @property
    def is_over_time(self) -> bool:
        """Whether a video model attends here from frame to frame."""
        return bool(self._options.get(OVER_TIME_KEY, False))

    @property
    def transformer(self) -> int:
        """Index of the transformer inside its block."""
        return int(self._options["block_index"])

    @property
    def heads(self) -> int:
        return int(self._options["n_heads"])

    @property
    def uuids(self) -> list[Any]:
        """Of the conds in the batch, in order."""
        return list(self._options["uuids"])

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, heads: int | None = None
    ) -> Tensor:
        """ComfyUI's attention, (b, tokens, c) each.

        Overrides of other nodes and the layer's own kernel keep working.

        heads: how many of the layer's heads q, k and v hold; None = all.

        The function is looked up at each call, since other packs replace it in ComfyUI's module. It gets
        plain tensors: the containers of newer releases give a tensor away, but q, k and v are read again by
        the other branch.
        """
        options = self._options
        preferred = options.get(PREFERRED_KEY, {}).get((self._layer, self.block, options.get("block_index")))
        more = {} if preferred is None else {"preferred_attention": preferred}
        precision = options.get("attn_precision")
        out: Tensor = attention.optimized_attention(
            q,
            k,
            v,
            heads or self.heads,
            mask=mask,
            attn_precision=precision,
            transformer_options=options,
            **more,
        )
        return out


def with_call_facts(transformer_options: dict[str, Any], unet: Any, sigma: float) -> dict[str, Any]:
    """A copy of one model call's options that tells attention patches what the call is.

    That is its noise level and the kernels that the checkpoint prescribes.
    """
    return {**transformer_options, SIGMA_KEY: sigma, PREFERRED_KEY: preferred_attention(unet)}


def replaceable(replaced: dict[Any, Any], blocks: list[BlockKey]) -> list[Any]:
    """The keys of a `patches_replace` table under which the blocks' attention must be replaced.

    ComfyUI looks up (name, block, transformer) before (name, block). Such entries of other nodes (SAG) are
    among the keys, since they would bypass a patch of the block.
    """
    return [*blocks, *(key for key in replaced if len(key) == 3 and key[:2] in blocks)]


class CallSigma:
    """Tells attention patches the noise level of the model call that they are part of."""

    def __init__(self) -> None:
        self._last: tuple[Any, float] = (None, 0.0)

    def __call__(self, extra_options: AttentionOptions) -> float:
        sigma: float | None = extra_options.get(SIGMA_KEY)
        return self._read(extra_options["sigmas"]) if sigma is None else sigma

    def _read(self, sigmas: Tensor) -> float:
        """The level where our APPLY_MODEL wrapper did not run.

        Reading it makes the CPU wait, so once for each tensor.
        """
        tensor, sigma = self._last
        if tensor is not sigmas:
            sigma = float(sigmas.flatten()[0])
            self._last = (sigmas, sigma)
        return sigma
