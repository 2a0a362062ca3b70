"""FreeScaleUpscale: what happens between two stages, as a node."""

from typing import Any

from comfy_api.latest import io

from ..freescale_core.geometry import LATENT_CELL, MIN_BASE_SIDE, Size, scaled, to_cells, to_pixels
from ..freescale_core.planning.plan import LATENT_METHOD, is_of_latents
from . import widgets
from .cascade.run import is_video
from .cascade.upscale import resize, resize_latent
from .cascade.vae import decode, encode, knows_frames
from .host.releases import search_aliases, without_grid_hints
from .host.types import LatentDict
from .input_checks import (
    expect_cells,
    expect_channels,
    expect_image,
    expect_inputs,
    expect_latent,
    expect_one,
    expect_result_size,
    expect_vae,
    expect_whole_cell,
    link_problem,
    size_or_none,
)


class FreeScaleUpscale(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FreeScaleUpscale",
            display_name="FreeScale Upscale",
            category="FreeScale",
            description="Makes the next stage's starting latent: decode, resize the image, encode. "
            "KSampler (Advanced) follows.",
            inputs=[
                io.Vae.Input("vae", tooltip="The VAE of the checkpoint that samples the next stage."),
                widgets.factor("Next size over this size. Used while width and height are 0.", 1.0),
                widgets.target_side("width", "Width of the next stage in pixels; 0 = from the factor."),
                widgets.target_side("height", "Height of the next stage in pixels; 0 = from the factor."),
                widgets.method("How it is resized. The paper: bicubic, for videos latent bicubic."),
                widgets.tiling("Run the VAE in tiles: auto decides from the size and the total memory."),
                io.Latent.Input(
                    "samples",
                    optional=True,
                    tooltip="The finished stage as a latent. Connect this or the image.",
                ),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="The finished stage, or any image, as an image. Connect this or the latent.",
                ),
                widgets.upscale_model("Upscales the image before it is resized to the exact size."),
            ],
            outputs=[
                io.Latent.Output(
                    display_name="latent",
                    tooltip="Latent of the next stage; keeps noise mask and batch index.",
                )
            ],
            **search_aliases("hires fix", "upscale latent", "rgb upscale", "self cascade"),
        )

    @classmethod
    def validate_inputs(cls, input_types: dict[str, str]) -> bool | str:
        return link_problem(cls.define_schema(), input_types, "samples", "image") or True

    @classmethod
    def execute(
        cls,
        vae: Any,
        factor: float,
        width: int,
        height: int,
        method: str,
        tiling: Any,
        samples: Any = None,
        image: Any = None,
        upscale_model: Any = None,
    ) -> io.NodeOutput:
        expect_inputs(
            cls.define_schema(), factor=factor, width=width, height=height, method=method, tiling=tiling
        )
        set_size = size_or_none(width, height, "next stage")
        expect_cells("FreeScale Upscale", "next stage", set_size, MIN_BASE_SIDE)
        expect_one("FreeScale Upscale", samples, image)
        expect_vae("FreeScale Upscale", vae)
        cell = vae.spacial_compression_decode()
        if samples is None:
            expect_image("FreeScale Upscale", image)
            start = Size(*image.shape[1:3])
        else:
            expect_latent("FreeScale Upscale", samples, videos=knows_frames(vae))
            expect_channels(
                "FreeScale Upscale",
                vae.latent_channels,
                samples["samples"],
                "connect the VAE that made the latent",
            )
            start = to_pixels(Size(*samples["samples"].shape[-2:]), cell)
        size = set_size or scaled(start, factor, max(cell, LATENT_CELL))
        expect_result_size("FreeScale Upscale", size)
        if is_of_latents(method) and upscale_model is not None:
            raise ValueError(
                f"FreeScale Upscale expects a method for images beside an upscale model, got {method}: "
                "choose another method or disconnect the upscale model."
            )
        if samples is not None and (is_of_latents(method) or is_video(samples)):
            return io.NodeOutput(_enlarged_latent(samples, to_cells(size, cell), method))
        if samples is not None:
            image = decode(vae, samples["samples"], tiling)
        if is_of_latents(method):
            expect_whole_cell("FreeScale Upscale", start, cell)
            found = resize_latent(encode(vae, image, tiling), to_cells(size, cell), method)
            return io.NodeOutput({"samples": found})
        latent = {} if samples is None else without_grid_hints(samples)
        return io.NodeOutput(
            {**latent, "samples": encode(vae, resize(image, size, method, upscale_model), tiling)}
        )


def _enlarged_latent(latent: LatentDict, cells: Size, method: str) -> LatentDict:
    """The latent, frame by frame, with sides of `cells`; it keeps noise mask and batch index.

    Raises:
        ValueError: it is a video and the method is one of images.
    """
    if not is_of_latents(method):
        raise ValueError(
            f"FreeScale Upscale expects method {LATENT_METHOD} for a video, got {method}: choose that, or "
            "decode the frames and connect them as an image."
        )
    return {**without_grid_hints(latent), "samples": resize_latent(latent["samples"], cells, method)}
