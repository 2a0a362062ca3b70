"""ComfyUI-FreeScale: coherent 2k, 4k and 8k pictures from SDXL, without training."""

from .nodes import FreeScaleExtension
from .nodes.host.releases import listen_to_prompts
from .nodes.plan_route import add_plan_route

WEB_DIRECTORY = "./web"


async def comfy_entrypoint() -> FreeScaleExtension:
    add_plan_route()
    listen_to_prompts()
    return FreeScaleExtension()


__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
