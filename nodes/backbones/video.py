"""Video UNets, whose frames are a batch: VideoCrafter2 and Stable Video Diffusion.

Some of their attention goes from frame to frame. FreeScale works on the grid of a frame and leaves it alone.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from comfy.ldm.modules.attention import SpatialVideoTransformer

from ..host.types import Model
from .unet import all_transformers

OVER_TIME_KEY = "freescale_over_time"
"""transformer_options entry: the attention is one over time."""


def frames_are_a_batch(model: Model) -> bool:
    """Whether the frames of one video are a batch for the MODEL.

    A motion module of AnimateDiff joins a model only while it samples, so such a model counts as one for
    images.
    """
    network = model.get_model_object("diffusion_model")
    return any(isinstance(layer, SpatialVideoTransformer) for _, layer in all_transformers(network))


@contextmanager
def attention_over_time_marked(unet: Any) -> Iterator[None]:
    """Inside the block, attention patches find OVER_TIME_KEY in what they are told of attention over time.

    Its tokens can have the very shape of a frame's: as many frames as there are places in the grid. The
    layers are shared by all runs, so the marks go whatever happens inside.
    """
    with ExitStack() as marks:
        for _, layer in all_transformers(unet):
            for block in getattr(layer, "time_stack", ()):
                marks.callback(block.register_forward_pre_hook(_mark, with_kwargs=True).remove)
        yield


def _mark(
    block: Any, arguments: tuple[Any, ...], options: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    marked = {**options.get("transformer_options", {}), OVER_TIME_KEY: True}
    return arguments, {**options, "transformer_options": marked}
