"""The UNets that are counted, on meta tensors: the host's own class with the real configurations, FreeScale's
patches in place."""

from dataclasses import dataclass
from functools import cache
from typing import Any
from unittest.mock import MagicMock

import comfy.ops
import torch
from comfy.ldm.modules.attention import SpatialTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy_extras.nodes_freelunch import FreeU
from einops import rearrange
from freescale_pack.freescale_core.geometry import Size, to_cells
from freescale_pack.freescale_core.settings import FusionSettings
from freescale_pack.nodes.backbones.attention_call import SIGMA_KEY
from freescale_pack.nodes.backbones.unet import attention_blocks
from freescale_pack.nodes.patching import scale_fusion
from freescale_pack.nodes.patching.sampler_run import SamplerRun
from torch import Tensor

from tools.bench.performance.configs import SD15, SDXL, SSD_1B

CONTEXT_TOKENS = 77


@dataclass(frozen=True, eq=False)
class CountedModel:
    """base: training size in pixels, square and 16:9."""

    name: str
    config: Any
    square: Size
    wide: Size

    @property
    def weights(self) -> int:
        """Bytes of the weights in half precision."""
        return sum(p.nbytes for p in _unet(self).parameters())


MODELS = (
    CountedModel("SDXL", SDXL, Size(1024, 1024), Size(768, 1344)),
    CountedModel("SSD-1B", SSD_1B, Size(1024, 1024), Size(768, 1344)),
    CountedModel("SD1.5", SD15, Size(512, 512), Size(384, 672)),
)


class MetaCall:
    """One call of a UNet on meta tensors of `size` (pixels). fusion None: no FreeScale. freeu: with ComfyUI's
    FreeU.

    Of every chain of transformer blocks, which are all of one shape, only the first block is kept: `depths`
    says how long the chains really are.
    """

    def __init__(
        self,
        model: CountedModel,
        base: Size,
        size: Size,
        fusion: FusionSettings | None = None,
        batch: int = 1,
        freeu: bool = False,
    ) -> None:
        self.unet, self.depths = _first_blocks(model)
        cells = to_cells(size)
        self.options: dict[str, Any] = {SIGMA_KEY: 3.0, "optimized_attention_override": flash_attention}
        if fusion is not None:
            run, free = SamplerRun(to_cells(base), cells, 0), scarce(batch * widest_output(model, cells))
            scale_fusion.install(self.options, run, fusion, attention_blocks(self.unet), free)
        if freeu:
            patch = freeu_patch(model.config["model_channels"])
            self.options.setdefault("patches", {})["output_block_patch"] = [patch]
        self.x = _meta(batch, 4, *cells)
        self.context = _meta(batch, CONTEXT_TOKENS, model.config["context_dim"])
        pooled = model.config["adm_in_channels"]
        self.y = None if pooled is None else _meta(batch, pooled)

    def __call__(self) -> Tensor:
        timesteps = torch.empty(len(self.x), device="meta")
        with torch.inference_mode():
            return self.unet(self.x, timesteps, self.context, y=self.y, transformer_options=self.options)


def freeu_patch(model_channels: int) -> Any:
    """The output block patch of ComfyUI's FreeU node, with the authors' values."""
    model = MagicMock()
    model.model.model_config.unet_config = {"model_channels": model_channels}
    FreeU().patch(model, 1.1, 1.2, 0.6, 0.4)
    return model.clone.return_value.set_model_output_block_patch.call_args.args[0]


def scarce(output_bytes: int) -> scale_fusion.FreeMemory:
    """The free memory of a device that has so little left that temporaries get half of an attention output,
    and no more."""
    return lambda device: 4.0 * output_bytes


def widest_output(model: CountedModel, cells: Size) -> int:
    """Bytes, in half precision, of the largest output of a self-attention for one picture."""
    first = next(level for level, depth in enumerate(model.config["transformer_depth"][::2]) if depth)
    channels = model.config["model_channels"] * model.config["channel_mult"][first]
    return 2 * channels * cells.area // 4**first


def flash_attention(
    func: Any, q: Tensor, k: Tensor, v: Tensor, heads: int, *args: Any, **kwargs: Any
) -> Tensor:
    """The host's hook for another attention function: the kernel that GPUs run, which never stores the
    scores."""
    q, k, v = (rearrange(x, "b n (h d) -> b h n d", h=heads) for x in (q, k, v))
    return rearrange(torch.ops.aten._scaled_dot_product_flash_attention(q, k, v)[0], "b h n d -> b n (h d)")


def _unet(model: CountedModel) -> Any:
    operations = comfy.ops.disable_weight_init
    return UNetModel(**model.config, device="meta", dtype=torch.float16, operations=operations)


@cache
def _first_blocks(model: CountedModel) -> tuple[Any, dict[str, int]]:
    """A UNet with chains of one block, and path of that block -> real length of the chain."""
    unet = _unet(model)
    depths = {}
    for path, module in unet.named_modules():
        if isinstance(module, SpatialTransformer):
            depths[f"{path}.transformer_blocks.0"] = len(module.transformer_blocks)
            module.transformer_blocks = module.transformer_blocks[:1]
    return unet, depths


def _meta(*shape: int) -> Tensor:
    return torch.empty(shape, device="meta", dtype=torch.float16)
