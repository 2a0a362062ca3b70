"""The image or the latent of one stage at the size of the next."""

import comfy.utils
from torch import Tensor

from ...freescale_core.geometry import Size
from ...freescale_core.planning.plan import LATENT


def resize(image: Tensor, size: Size, method: str, upscale_model: object | None = None) -> Tensor:
    """Image (b, H, W, 3) -> (b, size.height, size.width, 3), in RGB.

    An upscale model comes first, if there is one.
    """
    image = image[..., :3].float()  # Lanczos goes through numpy, which has no bfloat16.
    if upscale_model is not None:
        # Imported here, so that only this feature fails if a release of ComfyUI moves the node.
        from comfy_extras.nodes_upscale_model import ImageUpscaleWithModel

        image = ImageUpscaleWithModel.execute(upscale_model, image).result[0]
    moved = comfy.utils.common_upscale(image.movedim(-1, 1), size.width, size.height, method, "disabled")
    return moved.movedim(1, -1)


def resize_latent(samples: Tensor, cells: Size, method: str) -> Tensor:
    """Latent (b, c, h, w) or, frame by frame, (b, c, t, h, w) -> the same with sides of `cells`, in float32.

    method: such as "latent bilinear".
    """
    how = method.removeprefix(LATENT)
    resized = comfy.utils.common_upscale(samples.float(), cells.width, cells.height, how, "disabled")
    return resized.to(samples.dtype)
