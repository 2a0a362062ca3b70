"""ComfyUI extension for campaigns: what the server holds (GET /campaign/counts), and a node that fails."""

import gc
import sys

import psutil
import torch
from aiohttp import web
from comfy import model_management
from server import PromptServer
from torch.nn.modules.conv import _ConvNd


class FailingModel:
    """A MODEL whose network raises an error."""

    RETURN_TYPES = ("MODEL",)
    FUNCTION = "fail"
    CATEGORY = "campaign"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",)}}

    def fail(self, model):
        model = model.clone()
        model.set_model_unet_function_wrapper(_raise)
        return (model,)


def _raise(apply_model, arguments):
    raise RuntimeError("failed on purpose")


NODE_CLASS_MAPPINGS = {"CampaignFailingModel": FailingModel}


OF_CACHED_SIGNATURES = (tuple, frozenset)
"""What ComfyUI's cache keeps the signatures of earlier prompts in."""


@PromptServer.instance.routes.get("/campaign/counts")
async def counts(request):
    gc.collect()
    process, objects = psutil.Process(), gc.get_objects()
    return web.json_response(
        {
            "memory": process.memory_info().rss / 2**20,
            "files": process.num_fds() if hasattr(process, "num_fds") else process.num_handles(),
            "threads": process.num_threads(),
            "objects": sum(type(thing) not in OF_CACHED_SIGNATURES for thing in objects),
            "tensors": sum(issubclass(type(thing), torch.Tensor) for thing in objects),
            "kept stages": len(kept_stages()),
            "left on networks": sum(map(left_on, networks())),
        }
    )


def kept_stages():
    (module,) = (module for name, module in sys.modules.items() if name.endswith(".nodes.cascade.kept"))
    return module.KEPT


def networks():
    """The networks that ComfyUI holds loaded, each once."""
    models = [loaded.model for loaded in model_management.current_loaded_models]
    return list({id(model.model): model.model for model in models if model is not None}.values())


def left_on(network):
    """Hooks, replaced forward methods and dilated convolutions of a network; the demo model has none."""
    return sum(
        len(module._forward_hooks)
        + len(module._forward_pre_hooks)
        + ("forward" in vars(module))
        + (isinstance(module, _ConvNd) and set(module.dilation) != {1})
        for module in network.modules()
    )
