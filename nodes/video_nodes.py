"""The nodes for VideoCrafter2: its loader, what its conditioning and latent need, its authors' sampler."""

from typing import Any

import comfy.samplers
import folder_paths
import node_helpers
import torch
from comfy import model_management
from comfy_api.latest import io

from ..freescale_core.geometry import MIN_BASE_SIDE, Size, to_cells
from . import widgets
from .backbones.videocrafter.ddim import sample_videocrafter_ddim
from .backbones.videocrafter.loading import load_file
from .backbones.videocrafter.model import DEFAULT_FPS
from .host.releases import search_aliases
from .host.types import Conditioning
from .input_checks import expect_cells, expect_inputs

CATEGORY = "FreeScale/video"
LATENT_CHANNELS = 4


class FreeScaleVideoCrafterLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FreeScaleVideoCrafterLoader",
            display_name="Load VideoCrafter2",
            category=CATEGORY,
            description="Loads VideoCrafter2, text to video, for KSampler. Load Checkpoint would take its "
            "file for Stable Diffusion 2 and give noise.",
            inputs=[
                io.Combo.Input(
                    "ckpt_name",
                    options=folder_paths.get_filename_list("checkpoints"),
                    tooltip="model.ckpt of VideoCrafter/VideoCrafter2, also as safetensors, whole or the "
                    "UNet alone.",
                )
            ],
            outputs=[
                io.Model.Output(tooltip="For KSampler, FreeScale Model Patch and FreeScale Cascade."),
                io.Clip.Output(tooltip="The text encoder; none if the file has none."),
                io.Vae.Output(tooltip="The VAE; none if the file has none."),
            ],
            **search_aliases("videocrafter", "text to video", "t2v", "video checkpoint"),
        )

    @classmethod
    def execute(cls, ckpt_name: str) -> io.NodeOutput:
        expect_inputs(cls.define_schema(), ckpt_name=ckpt_name)
        path = folder_paths.get_full_path_or_raise("checkpoints", ckpt_name)
        return io.NodeOutput(*load_file(path, folder_paths.get_folder_paths("embeddings")))


class FreeScaleVideoCrafterTextToVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FreeScaleVideoCrafterTextToVideo",
            display_name="VideoCrafter2 Text to Video",
            category=CATEGORY,
            description="Says how many frames VideoCrafter2 makes, how large, and how fast things move.",
            inputs=[
                io.Conditioning.Input("positive", tooltip="What the video should show."),
                io.Conditioning.Input(
                    "negative", tooltip="What it should not show; the authors leave it empty."
                ),
                widgets.target_side(
                    "width", "Width in pixels. The model is trained for 512.", 512, MIN_BASE_SIDE
                ),
                widgets.target_side(
                    "height", "Height in pixels. The model is trained for 320.", 320, MIN_BASE_SIDE
                ),
                io.Int.Input(
                    "frames",
                    default=16,
                    min=1,
                    max=widgets.MAX_FRAMES,
                    tooltip="Frames of the video. The model is trained for 16.",
                ),
                io.Int.Input(
                    "fps",
                    default=DEFAULT_FPS,
                    min=1,
                    max=60,
                    tooltip="Frames per second that the model is told: less = faster motion. The saved "
                    "video has a rate of its own, usually 8.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive", tooltip="With the frames per second."),
                io.Conditioning.Output(display_name="negative", tooltip="With the frames per second."),
                io.Latent.Output(display_name="latent", tooltip="An empty video: a batch of frames."),
            ],
            **search_aliases("videocrafter", "text to video", "t2v", "empty video latent", "fps"),
        )

    @classmethod
    def execute(
        cls, positive: Conditioning, negative: Conditioning, width: int, height: int, frames: int, fps: int
    ) -> io.NodeOutput:
        links: dict[str, Any] = {"positive": positive, "negative": negative}
        expect_inputs(cls.define_schema(), **links, width=width, height=height, frames=frames, fps=fps)
        size = Size(height, width)
        expect_cells("VideoCrafter2 Text to Video", "size", size, MIN_BASE_SIDE)
        told = [node_helpers.conditioning_set_values(cond, {"fps": fps}) for cond in links.values()]
        latent = torch.zeros(
            frames, LATENT_CHANNELS, *to_cells(size), device=model_management.intermediate_device()
        )
        return io.NodeOutput(*told, {"samples": latent})


class FreeScaleVideoCrafterSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FreeScaleVideoCrafterSampler",
            display_name="VideoCrafter2 Sampler",
            category=CATEGORY,
            description="DDIM of VideoCrafter2's authors with eta, for SamplerCustom. Eta 0 is euler in "
            "KSampler.",
            inputs=[
                io.Float.Input(
                    "eta",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Fresh noise in each step: 1 = the authors' default, 0 = none.",
                )
            ],
            outputs=[io.Sampler.Output(tooltip="For SamplerCustom, with the scheduler ddim_uniform.")],
            **search_aliases("videocrafter", "ddim", "eta", "ancestral"),
        )

    @classmethod
    def execute(cls, eta: float) -> io.NodeOutput:
        expect_inputs(cls.define_schema(), eta=eta)
        return io.NodeOutput(comfy.samplers.KSAMPLER(sample_videocrafter_ddim, {"eta": eta}))
