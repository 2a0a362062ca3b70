"""Floating point operations of one UNet call and of a whole cascade, counted on meta tensors."""

from collections.abc import Callable
from typing import Any

import torch
from freescale_pack.freescale_core.presets import PRESETS, SPEEDS
from freescale_pack.freescale_core.schedule import ddim_uniform_timesteps, restart_step
from freescale_pack.freescale_core.settings import FusionSettings
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from tools.bench.performance.models import CountedModel, MetaCall

STEPS = 50
SCALES = (1, 2, 4, 8)
VARIANTS = {
    "exact, 3-D": FusionSettings(),
    "exact, 2-D": FusionSettings(over_channels=False),
    "fast, 3-D": FusionSettings(mode="fast"),
    "fast, 2-D": FusionSettings(mode="fast", over_channels=False),
    "neighbourhoods, 3-D": FusionSettings(local="neighbourhoods"),
    "fast neighbourhoods, 3-D": FusionSettings(mode="fast", local="neighbourhoods"),
}


VARIANT_OF_SPEED = {
    speed: next(name for name, fusion in VARIANTS.items() if fusion == chosen.fusion)
    for speed, chosen in SPEEDS.items()
}


def _cpu_attention(q: torch.Size, k: torch.Size, v: torch.Size, *args: Any, **kwargs: Any) -> int:
    return int(sdpa_flop_count(q, k, v))


CPU_ATTENTION = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _cpu_attention}
"""What torch's counter leaves out."""


def real_flops(call: Callable[[], Any]) -> int:
    """FLOPs of a call on real tensors on the CPU."""
    with FlopCounterMode(display=False, custom_mapping=CPU_ATTENTION) as counter:
        call()
    return int(counter.get_total_flops())


def call_flops(call: MetaCall) -> int:
    """FLOPs of the whole UNet: of the kept blocks as counted, of the dropped ones as of the one that was
    kept."""
    with FlopCounterMode(display=False) as counter:
        call()
    counts = counter.get_flop_counts()
    repeated = (
        (depth - 1) * sum(counts[f"UNetModel.{path}"].values()) for path, depth in call.depths.items()
    )
    return counter.get_total_flops() + sum(repeated)


def model_flops(
    model: CountedModel, wide: bool, variants: tuple[str, ...] = tuple(VARIANTS)
) -> dict[str, dict[int, int]]:
    """FLOPs of one call per variant ("unpatched" first) and scale."""
    base = model.wide if wide else model.square
    flops: dict[str, dict[int, int]] = {"unpatched": {}, **{name: {} for name in variants}}
    for scale in SCALES:
        size = type(base)(base.height * scale, base.width * scale)
        flops["unpatched"][scale] = call_flops(MetaCall(model, base, size))
        for name in variants if scale > 1 else ():
            flops[name][scale] = call_flops(MetaCall(model, base, size, VARIANTS[name]))
    return flops


def cascade_share(
    flops: dict[str, dict[int, int]], variant: str, target: int, later_steps: int = STEPS
) -> float:
    """Cost of base and stages up to `target` over that of 50 direct steps at the final size. later_steps: of
    the whole schedule."""
    timesteps = ddim_uniform_timesteps(later_steps)
    sampled = len(timesteps) - restart_step(timesteps, PRESETS["SDXL"].restart)
    stages = sum(sampled * flops[variant][scale] for scale in SCALES if 1 < scale <= target)
    return (STEPS * flops["unpatched"][1] + stages) / (STEPS * flops["unpatched"][target])


def speed_share(flops: dict[str, dict[int, int]], speed: str, target: int) -> float:
    """`cascade_share` of the model patch's speed."""
    later_steps = min(STEPS, SPEEDS[speed].max_later_steps or STEPS)
    return cascade_share(flops, VARIANT_OF_SPEED[speed], target, later_steps)


def per_call_ratios(flops: dict[str, dict[int, int]], variant: str) -> dict[int, float]:
    return {scale: flops[variant][scale] / flops["unpatched"][scale] for scale in flops[variant]}
