"""The base image enlarged without the model: nothing can repeat, nothing is drawn.

Lanczos; Lanczos with an unsharp mask, which shows what a measure of sharpness alone is worth; and
Real-ESRGAN.
"""

from kornia.filters import gaussian_blur2d
from torch import Tensor

from tools.bench.picture_quality.families.family import TABLES, Family, without_knob
from tools.bench.picture_quality.families.upscale_model import real_esrgan
from tools.bench.picture_quality.painter import Painter, Shot, resized


def lanczos(painter: Painter, shot: Shot) -> Tensor:
    return resized(painter.decoded(shot.latent), shot.target)


def sharpened(painter: Painter, shot: Shot, amount: float) -> Tensor:
    return unsharp_masked(lanczos(painter, shot), amount, shot.scale / 2)


def unsharp_masked(image: Tensor, amount: float, sigma: float) -> Tensor:
    """image + amount * (image - blurred image). sigma: of the blur, in pixels."""
    channels, taps = image.movedim(-1, 1), 2 * round(3 * sigma) + 1
    blurred = gaussian_blur2d(channels, (taps, taps), (sigma, sigma))
    return (channels + amount * (channels - blurred)).clamp(0, 1).movedim(1, -1)


def upscaled(painter: Painter, shot: Shot) -> Tensor:
    """The node path of upscale models: the model first, then the exact size."""
    from freescale_pack.freescale_core.geometry import Size
    from freescale_pack.nodes.cascade.upscale import resize

    size = Size(shot.target[1], shot.target[0])
    return resize(painter.decoded(shot.latent), size, "lanczos", real_esrgan())


FAMILIES = (
    without_knob(
        "lanczos", "Lanczos", lanczos, "the base image enlarged: nothing is drawn.", rank=1, tables=TABLES
    ),
    Family(
        "sharpened",
        "Lanczos, unsharp mask",
        "amount",
        (1.0, 3.0),
        sharpened,
        "the same through a filter.",
        rank=1,
    ),
    without_knob(
        "upscale_model",
        "Real-ESRGAN x4plus",
        upscaled,
        "the upscale model with its released weights, then Lanczos to the exact size.",
    ),
)
