"""ComfyUI nodes over freescale_core. `FreeScaleExtension` is what the host loads."""

from comfy_api.latest import ComfyExtension, io

from .cascade_node import FreeScaleCascade
from .model_patch_nodes import FreeScaleDetailControl, FreeScaleDilatedConv, FreeScaleModelPatch, FreeScaleScaleFusion
from .plan_node import FreeScalePlan
from .region_nodes import FreeScaleDetailRegion, FreeScalePromptRegion
from .stage_override import FreeScaleStageOverride
from .upscale_node import FreeScaleUpscale


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
        ]
