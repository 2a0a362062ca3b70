"""The nodes, and below them what makes them work in ComfyUI. `FreeScaleExtension` is what ComfyUI loads.

    *_node.py, *_nodes.py  a node's inputs, their checks, and a short execute
    widgets                socket types, choices and inputs that several nodes share
    input_checks           one sentence for each bad input
    plan_route, plan_fit   the plan in numbers for the web page, and whether it fits the server's card
    cascade/               the stages: what they start from, one after the other, VAE and upscaling
    patching/              FreeScale in one sampler run: what a MODEL carries, and the patches of the run
    backbones/             what FreeScale knows of a network: its layers, its attention calls
    host/                  what differs between releases of ComfyUI, and its types

Imports go down this list, never up, and below it to `freescale_core`.
"""

from comfy_api.latest import ComfyExtension, io

from .cascade_node import FreeScaleCascade
from .model_patch_node import FreeScaleModelPatch
from .part_nodes import FreeScaleDetailControl, FreeScaleDilatedConv, FreeScaleRoPE, FreeScaleScaleFusion
from .plan_node import FreeScalePlan
from .region_nodes import FreeScaleDetailRegion, FreeScalePromptRegion
from .stage_override_node import FreeScaleStageOverride
from .upscale_node import FreeScaleUpscale
from .video_nodes import (
    FreeScaleVideoCrafterLoader,
    FreeScaleVideoCrafterSampler,
    FreeScaleVideoCrafterTextToVideo,
)


class FreeScaleExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            FreeScaleModelPatch,
            FreeScaleScaleFusion,
            FreeScaleDilatedConv,
            FreeScaleDetailControl,
            FreeScaleUpscale,
            FreeScalePlan,
            FreeScaleCascade,
            FreeScaleStageOverride,
            FreeScaleDetailRegion,
            FreeScalePromptRegion,
            FreeScaleRoPE,
            FreeScaleVideoCrafterLoader,
            FreeScaleVideoCrafterTextToVideo,
            FreeScaleVideoCrafterSampler,
        ]
