"""Convolutions that are dilated while a model call lasts, for the families that dilate other ones than
FreeScale."""

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any

from comfy.ldm.modules.diffusionmodules.openaimodel import Downsample, Upsample
from comfy.patcher_extension import WrappersMP
from freescale_pack.freescale_core.dilation import dilated
from freescale_pack.freescale_core.geometry import Size, dilation_factor, scale_between, to_cells
from freescale_pack.nodes.host.noise_level import timestep
from torch import Tensor, nn

from tools.bench.picture_quality.painter import Pixels

Convs = Sequence[nn.Conv2d]
Layers = Callable[[Any, float, int], Iterable[tuple[Convs, float]]]
"""(UNet, timestep t, target side over base side, rounded) -> convolutions and their dilation, which is
rounded up."""
KEY = "quality_bench_dilation"


def with_dilated_layers(
    model: Any, base: Pixels, layers: Layers, around: Callable[..., Any] | None = None
) -> Any:
    """A clone of the MODEL. around(convs, factor): a further context for each group that is dilated."""
    model_sampling, cells = model.get_model_object("model_sampling"), to_cells(Size(base[1], base[0]))

    def wrapper(executor: Any, x: Tensor, t: Tensor, *args: Any, **kwargs: Any) -> Any:
        factor = dilation_factor(scale_between(cells, Size(*x.shape[2:])))
        at = timestep(model_sampling, float(t.flatten()[0]))
        with ExitStack() as stack:
            for convs, d in layers(executor.class_obj.diffusion_model, at, factor):
                stack.enter_context(dilated(convs, math.ceil(d)))
                if around is not None:
                    stack.enter_context(around(convs, d))
            return executor(x, t, *args, **kwargs)

    model = model.clone()
    model.add_wrapper_with_key(WrappersMP.APPLY_MODEL, KEY, wrapper)
    return model


def deepest_down_convs(unet: Any) -> list[nn.Conv2d]:
    """The 3x3 convolutions of the down blocks from the last downsampler on, without it."""
    blocks: list[Any] = []
    for block in unet.input_blocks:
        blocks = [] if any(isinstance(layer, Downsample) for layer in block) else [*blocks, block]
    return convs_of(blocks)


def up_levels(unet: Any) -> list[list[nn.Conv2d]]:
    """The 3x3 convolutions of the up blocks, level by level, the deepest first; an upsampler ends its
    level."""
    levels: list[list[Any]] = [[]]
    for block in unet.output_blocks:
        levels[-1].append(block)
        if any(isinstance(layer, Upsample) for layer in block):
            levels.append([])
    return [convs_of(blocks) for blocks in levels]


def upsampler_convs(unet: Any) -> list[nn.Conv2d]:
    return [layer.conv for layer in unet.output_blocks.modules() if isinstance(layer, Upsample)]


def deepest_up_convs(unet: Any) -> list[nn.Conv2d]:
    return up_levels(unet)[0]


def convs_of(blocks: Iterable[nn.Module]) -> list[nn.Conv2d]:
    modules = (layer for block in blocks for layer in block.modules())
    return [layer for layer in modules if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3)]
