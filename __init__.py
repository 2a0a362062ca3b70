"""ComfyUI-FreeScale: coherent 2k, 4k and 8k pictures from SDXL, without training."""

from .nodes import FreeScaleExtension

WEB_DIRECTORY = "./web"


async def comfy_entrypoint() -> FreeScaleExtension:
    return FreeScaleExtension()


__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
