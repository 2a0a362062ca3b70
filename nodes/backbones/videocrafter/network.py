"""VideoCrafter2's UNet: ComfyUI's UNet for images, with convolutions and attention over time.

All layers take the frames of a video as a batch, (videos * frames, c, h, w), frames of one video adjacent.
Attribute names are those of the published file, its misspelling included.
"""

from typing import Any

import torch
from comfy import ops
from comfy.ldm.modules.attention import BasicTransformerBlock, SpatialTransformer, SpatialVideoTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import (
    ResBlock,
    TimestepEmbedSequential,
    UNetModel,
    VideoResBlock,
)
from torch import Tensor, nn

INIT_HEADS = 8
"""Heads of the attention behind the first convolution, whatever the width."""


class VideoCrafterUNet(UNetModel):
    """ComfyUI's UNet with a temporal part in each residual block and behind each transformer.

    Behind the first convolution there is one more attention over time.
    """

    def __init__(self, **config: Any) -> None:
        """config: as UNetModel takes it."""
        super().__init__(**config)
        build = {name: config.get(name) for name in ("dtype", "device")}
        build["operations"] = config.get("operations", ops.disable_weight_init)
        attention = {"d_head": self.num_head_channels, "attn_precision": config.get("attn_precision")}
        over_time: dict[str, Any] = {**attention, **build}
        for blocks in (self.input_blocks, self.output_blocks):
            for number, block in enumerate(blocks):
                blocks[number] = _with_time(block, build, over_time)
        self._modules["middle_block"] = _with_time(self._modules["middle_block"], build, over_time)
        depth = config["transformer_depth_middle"]
        first = TemporalTransformer(self.model_channels, INIT_HEADS, depth, use_linear=False, **over_time)
        self.input_blocks[0].append(first)

    def _forward(
        self,
        x: Tensor,
        timesteps: Tensor | None = None,
        context: Tensor | None = None,
        y: Tensor | None = None,
        control: Any = None,
        transformer_options: dict[str, Any] = {},  # noqa: B006 (ComfyUI's signature)
        **kwargs: Any,
    ) -> Tensor:
        """x (videos * frames, c, h, w) -> the same shape.

        ComfyUI calls with one video for each cond. Its number of frames follows from that: a context window
        can hold one frame more than the conditioning was told.
        """
        conds = transformer_options.get("cond_or_uncond")
        if conds:
            kwargs["num_video_frames"] = x.shape[0] // len(conds)
        elif kwargs.get("num_video_frames") is None:
            kwargs["num_video_frames"] = x.shape[0]
        out: Tensor = super()._forward(x, timesteps, context, y, control, transformer_options, **kwargs)
        return out


def _with_time(
    block: nn.Sequential, build: dict[str, Any], over_time: dict[str, Any]
) -> TimestepEmbedSequential:
    """The layers of a block, each with what it has over time."""
    layers: list[nn.Module] = []
    for layer in block:
        layers.append(VideoCrafterResBlock(layer, **build) if isinstance(layer, ResBlock) else layer)
        if isinstance(layer, SpatialTransformer):
            channels, depth = layer.in_channels, len(layer.transformer_blocks)
            heads = channels // over_time["d_head"]
            layers.append(TemporalTransformer(channels, heads, depth, layer.use_linear, **over_time))
    return TimestepEmbedSequential(*layers)


class VideoCrafterResBlock(VideoResBlock):
    """ComfyUI's residual block for images, then four convolutions over time on its result.

    It is a VideoResBlock only for ComfyUI's dispatch, which hands those the number of frames.
    """

    def __init__(self, spatial: ResBlock, dtype: Any, device: Any, operations: Any) -> None:
        """spatial: a block for images of the same widths, in place of which this one stands."""
        build = {"dtype": dtype, "device": device, "operations": operations}
        # VideoResBlock's own would build SVD's temporal part.
        ResBlock.__init__(
            self, spatial.channels, spatial.emb_channels, spatial.dropout, spatial.out_channels, **build
        )
        self.temopral_conv = TemporalConvolutions(self.out_channels, **build)

    def forward(
        self, x: Tensor, emb: Tensor, num_video_frames: int, image_only_indicator: Tensor | None = None
    ) -> Tensor:
        out = ResBlock.forward(self, x, emb)
        frames_last = self.temopral_conv(as_videos(out, num_video_frames))
        return as_frames(frames_last)


class TemporalConvolutions(nn.Module):
    """Four times norm, SiLU and a convolution over three frames, with a residual; (b, c, t, h, w)."""

    def __init__(self, channels: int, dtype: Any, device: Any, operations: Any) -> None:
        super().__init__()
        build = {"dtype": dtype, "device": device}

        def convolution(*between: nn.Module) -> nn.Sequential:
            norm = operations.GroupNorm(32, channels, **build)
            over_time = operations.Conv3d(channels, channels, (3, 1, 1), padding=(1, 0, 0), **build)
            return nn.Sequential(norm, nn.SiLU(), *between, over_time)

        # The dropout of training holds a place in the published names.
        self.conv1 = convolution()
        self.conv2, self.conv3, self.conv4 = (convolution(nn.Identity()) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.conv4(self.conv3(self.conv2(self.conv1(x))))
        return out


class TemporalTransformer(SpatialVideoTransformer):
    """Attention from frame to frame at each place of the grid, twice, with a residual.

    It is a SpatialVideoTransformer only for ComfyUI's dispatch. Patches of attention do not reach it: they
    are made for the tokens of an image.
    """

    is_over_time_alone = True
    """Where FreeScale asks which layers see the grid of an image."""

    def __init__(
        self,
        in_channels: int,
        n_heads: int,
        depth: int,
        use_linear: bool,
        d_head: int,
        attn_precision: torch.dtype | None,
        dtype: Any,
        device: Any,
        operations: Any,
    ) -> None:
        nn.Module.__init__(self)  # SpatialVideoTransformer's own would build SVD's.
        build = {"dtype": dtype, "device": device}
        width = n_heads * d_head
        self.in_channels = in_channels
        self.norm = operations.GroupNorm(32, in_channels, eps=1e-6, **build)
        if use_linear:
            self.proj_in = operations.Linear(in_channels, width, **build)
            self.proj_out = operations.Linear(width, in_channels, **build)
        else:
            self.proj_in = operations.Conv1d(in_channels, width, 1, **build)
            self.proj_out = operations.Conv1d(width, in_channels, 1, **build)
        self.use_linear = use_linear
        blocks = (
            BasicTransformerBlock(
                width, n_heads, d_head, attn_precision=attn_precision, operations=operations, **build
            )
            for _ in range(depth)
        )
        self.transformer_blocks = nn.ModuleList(blocks)

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        time_context: Tensor | None = None,
        timesteps: int | None = None,
        image_only_indicator: Tensor | None = None,
        transformer_options: dict[str, Any] = {},  # noqa: B006 (ComfyUI's signature)
    ) -> Tensor:
        """x (videos * frames, c, h, w) -> the same shape. timesteps: ComfyUI's name for the frames."""
        videos = as_videos(x, timesteps or x.shape[0])
        b, c, t, h, w = videos.shape
        options = {k: v for k, v in transformer_options.items() if k not in ("patches", "patches_replace")}
        tokens = self.norm(videos).permute(0, 3, 4, 1, 2).reshape(b * h * w, c, t)
        tokens = self.proj_in(tokens.transpose(1, 2)) if self.use_linear else self.proj_in(tokens).mT
        for block in self.transformer_blocks:
            tokens = block(tokens.contiguous(), context=None, transformer_options=options)
        out = self.proj_out(tokens) if self.use_linear else self.proj_out(tokens.mT).mT
        _uncount(transformer_options)
        frames = out.reshape(b, h, w, t, c).permute(0, 3, 4, 1, 2).reshape(b * t, c, h, w)
        added: Tensor = x + frames
        return added


def as_videos(x: Tensor, frames: int) -> Tensor:
    """(videos * frames, c, h, w) -> (videos, c, frames, h, w)."""
    return x.unflatten(0, (-1, frames)).transpose(1, 2)


def as_frames(x: Tensor) -> Tensor:
    """(videos, c, frames, h, w) -> (videos * frames, c, h, w)."""
    return x.transpose(1, 2).flatten(0, 1)


def _uncount(transformer_options: dict[str, Any]) -> None:
    """Take back that ComfyUI counts this transformer: other nodes count those for images."""
    if "transformer_index" in transformer_options:
        transformer_options["transformer_index"] -= 1
