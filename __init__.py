"""ComfyUI-FreeScale: coherent 2k, 4k and 8k pictures from SDXL, without training."""

from .nodes import FreeScaleExtension
from .nodes.plan_route import add_plan_route

WEB_DIRECTORY = "./web"


async def comfy_entrypoint() -> FreeScaleExtension:
    add_plan_route()
    return FreeScaleExtension()


__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
