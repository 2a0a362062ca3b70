"""Scale fusion written down plainly, as the host's attention patches: the oracle of results, and what speed is compared with.

One window at a time; sums and counts as large as the padded tokens; two dense blurs, as the formula reads.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from comfy.ldm.modules.attention import optimized_attention
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.windows import window_rng
from freescale_pack.nodes.attention_call import SIGMA_KEY
from freescale_pack.nodes.fused_attention import BLOCK_NUMBERS
from freescale_pack.nodes.stage_run import StageRun
from freescale_pack.nodes.unet import BlockKey
from torch import Tensor


def install(options: dict[str, Any], run: StageRun, blocks: list[BlockKey]) -> None:
    """In place of fused_attention.install."""
    options["patches_replace"] = {"attn1": {key: attention_patch(run) for key in blocks}}
    options["patches"] = {"attn1_output_patch": [output_patch(run)]}


def attention_patch(run: StageRun) -> Callable[..., Tensor]:
    """Global attention, then local attention window by window; [global; local] on the batch axis."""

    def patch(q: Tensor, k: Tensor, v: Tensor, extra_options: dict[str, Any]) -> Tensor:
        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return optimized_attention(q, k, v, extra_options["n_heads"], transformer_options=extra_options)

        grid = Size(*extra_options["activations_shape"][2:])
        windows = run.window_grid(grid, Size(*extra_options["original_shape"][2:]))
        name, number = extra_options["block"]
        rng = window_rng(run.seed, extra_options[SIGMA_KEY], BLOCK_NUMBERS[name], number, extra_options["block_index"])
        pad = windows.jitter
        images = [F.pad(x.unflatten(1, grid), (0, 0, pad.width, pad.width, pad.height, pad.height)) for x in (q, k, v)]
        value, count = torch.zeros_like(images[2]), torch.zeros_like(images[2])
        for top, bottom, left, right in windows.draw(rng):
            out = attend(*(x[:, top:bottom, left:right].flatten(1, 2) for x in images))
            value[:, top:bottom, left:right] += out.unflatten(1, (bottom - top, right - left))
            count[:, top:bottom, left:right] += 1
        mean = torch.where(count > 0, value / count, value)
        local = mean[:, pad.height : pad.height + grid.height, pad.width : pad.width + grid.width].flatten(1, 2)
        return torch.cat([attend(q, k, v), local])

    return patch


def output_patch(run: StageRun) -> Callable[[Tensor, dict[str, Any]], Tensor]:
    """G(local) + global - G(global) after the output projection, G dense over (h, w, channel)."""

    def patch(n: Tensor, extra_options: dict[str, Any]) -> Tensor:
        grid, k = extra_options["activations_shape"][2:], run.kernel_size_of(run.target)
        taps = torch.exp(-((torch.arange(k) - k // 2) ** 2) / 2.0)
        taps = (taps / taps.sum()).to(n)
        kernel = taps[:, None, None] * taps[None, :, None] * taps[None, None, :]

        def blurred(x: Tensor) -> Tensor:
            volume = x.unflatten(1, grid)[:, None]
            return F.conv3d(volume, kernel[None, None], padding=k // 2)[:, 0].flatten(1, 2)

        global_, local = n.chunk(2)
        return blurred(local) + global_ - blurred(global_)

    return patch
