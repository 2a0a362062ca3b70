"""The only module that knows what differs between ComfyUI releases (0.3.75 to 0.30 and later)."""

import inspect
import sys
from collections.abc import Callable
from typing import Any, cast

import comfy.sample
import torch
from comfy import model_management, model_patcher
from comfy.ldm.modules import attention
from comfy.patcher_extension import WrappersMP
from comfy_api.latest import io
from comfy_execution.utils import get_executing_context
from comfy_execution.validation import validate_node_input

from ...freescale_core.geometry import LATENT_CELL
from .prompt_graph import note_queued
from .types import LatentDict, Model

CELLS_BY_FORMAT = {"Wan22": 16, "Flux2": 16, "HunyuanVideo15": 16, "HunyuanImage21": 32, "LTXV": 32}
"""Pixels of a latent cell where it is not LATENT_CELL."""


def search_aliases(*aliases: str) -> dict[str, Any]:
    """Schema arguments for the node search, where the host knows them."""
    return {"search_aliases": list(aliases)} if "search_aliases" in io.Schema.__dataclass_fields__ else {}


def lasting_previews() -> dict[str, Any]:
    """Schema arguments that let a node's images survive a reload of the page, where ComfyUI knows that."""
    name = "has_intermediate_output"
    return {name: True} if name in io.Schema.__dataclass_fields__ else {}


def advanced(input_class: type) -> dict[str, Any]:
    """Input arguments that fold a widget under "advanced", where the host knows them."""
    return {"advanced": True} if "advanced" in inspect.signature(input_class).parameters else {}


def empty_latent_for(model: Model, latent: LatentDict) -> torch.Tensor:
    """The latent's samples, with the channels that the model expects if they are empty.

    Newer releases fit the grid, too.
    """
    extra = [latent.get(f"downscale_ratio_{axis}") for axis in ("spacial", "temporal")]
    known = len(inspect.signature(comfy.sample.fix_empty_latent_channels).parameters) - 2
    samples: torch.Tensor = comfy.sample.fix_empty_latent_channels(model, latent["samples"], *extra[:known])
    return samples


def without_grid_hints(latent: LatentDict) -> LatentDict:
    """A copy of the latent dict without the hints that newer hosts put on empty latents only."""
    kept: Any = {k: v for k, v in latent.items() if not k.startswith("downscale_ratio_")}
    return cast(LatentDict, kept)


def latent_cell(model: Model) -> int:
    """Pixels of a latent cell of the MODEL, per side."""
    latent_format = model.get_model_object("latent_format")
    known: int | None = getattr(latent_format, "spacial_downscale_ratio", None)
    if known is not None:
        return known
    # Releases before 0.4 do not say it: there the format's name does.
    return CELLS_BY_FORMAT.get(type(latent_format).__name__, LATENT_CELL)


def free_memory_of(patcher: Any) -> Callable[[torch.device], float]:
    """free(device) -> bytes. Newer hosts count what they can move away of the patcher's own weights, too."""
    free: Callable[[torch.device], float] = getattr(
        patcher, "get_free_memory", model_management.get_free_memory
    )
    return free


def patcher_of(model: Any, load_device: torch.device, offload_device: torch.device) -> Any:
    """A MODEL of a network without weights. Newer hosts choose the class by what the platform can do."""
    patcher = getattr(model_patcher, "CoreModelPatcher", model_patcher.ModelPatcher)
    return patcher(model, load_device=load_device, offload_device=offload_device)


def load_weights(model: Any, weights: dict[str, torch.Tensor], patcher: Any) -> None:
    """Fill a network. Newer hosts may keep the file's own tensors and move them when they are needed."""
    if getattr(patcher, "is_dynamic", lambda: False)():
        model.load_model_weights(weights, "", assign=True)
    else:
        model.load_model_weights(weights, "")


def out_of_memory(error: BaseException) -> bool:
    """Whether a RuntimeError of a model call says that the device is full."""
    if hasattr(model_management, "is_oom"):
        return bool(model_management.is_oom(error))
    return isinstance(error, model_management.OOM_EXCEPTION)


class CatchOutOfMemory:
    """Context manager that ends its block where the device runs out of memory, and says so: `ran_out`.

    Other errors pass, and so does Cancel, which is no RuntimeError in any release. What comes after the block
    runs outside of `except`, which would keep the failed call's tensors alive.
    """

    def __init__(self, when: bool = True) -> None:
        """when: False lets lack of memory pass, too."""
        self.ran_out = False
        self._when = when

    def __enter__(self) -> "CatchOutOfMemory":
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        self.ran_out = self._when and isinstance(error, RuntimeError) and out_of_memory(error)
        return self.ran_out


def attention_keeps_scores() -> bool:
    """Whether ComfyUI attends with a function of its own that holds scores in memory.

    Those hold more of them for larger batches.
    """
    return attention.optimized_attention in (
        attention.attention_sub_quad,
        attention.attention_split,
        attention.attention_basic,
    )


def uncompiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Exclude `function` from torch.compile.

    The windows change with every call, so tracing would recompile each time.

    Does not import torch._dynamo.
    """
    disabled: Callable[..., Any] = (
        torch.compiler.disable(function) if "torch._dynamo" in sys.modules else function
    )
    return disabled


def preferred_kernel(layer: Any) -> Any | None:
    """The attention kernel that the checkpoint prescribes for a layer, or None.

    Releases before 0.38 know none.
    """
    prescribed = getattr(layer, "comfy_attention", None)
    return None if getattr(prescribed, "function", None) is None else prescribed


def without_compiled_model(options: dict[str, Any]) -> bool:
    """Take TorchCompileModel's wrapper out of a run's own model options; whether there was one.

    ComfyUI tells torch.compile not to look at transformer_options when it decides whether a graph fits, so a
    graph that was compiled without our patches would be used again with them, and the patches would silently
    do nothing.
    """
    wrappers = options.get("transformer_options", {}).get("wrappers", {}).get(WrappersMP.APPLY_MODEL, {})
    return wrappers.pop("torch.compile", None) is not None


def wrong_link(schema: io.Schema, linked: dict[str, str]) -> str | None:
    """A sentence on a link of the wrong type, or None.

    ComfyUI leaves this to a node that asks for the types of its links. linked: input -> type of what is
    linked.
    """
    for given in schema.inputs:
        received, wanted = linked.get(given.id), given.get_io_type()
        if received is not None and not validate_node_input(received, wanted):
            return (
                f"{schema.display_name} expects a {wanted} for {given.id}, got {received}: connect another."
            )
    return None


def say_at_node(text: str) -> None:
    """Show a text at the node that is being executed, in the page that has queued it."""
    server, context = _server(), get_executing_context()
    client = getattr(server, "client_id", None)
    if server is not None and client is not None and context is not None:
        server.send_progress_text(text, context.node_id, client)


def listen_to_prompts() -> None:
    """Note each prompt that is queued, so that validation can look at the nodes before one."""
    server = _server()
    if server is not None and hasattr(server, "add_on_prompt_handler"):
        server.add_on_prompt_handler(note_queued)


def server_routes() -> Any | None:
    """The aiohttp route table of the running server; None in a script that only imports the nodes."""
    return getattr(_server(), "routes", None)


def _server() -> Any | None:
    module = sys.modules.get("server")  # Importing it is for ComfyUI's own main.py alone.
    return getattr(getattr(module, "PromptServer", None), "instance", None)
