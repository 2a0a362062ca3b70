"""Predicts size, cost and memory of every stage of a plan, as numbers and as text."""

import dataclasses
from dataclasses import dataclass

from ..attention.windows import WindowGrid
from ..geometry import Size, blur_kernel_size, dilation_factor, level_size, scale_between, to_cells
from ..presets import PRESETS, SCHEDULER, SPEEDS, STEPS
from ..schedule import ddim_uniform_timesteps, restart_step
from .cost import TILED_VAE_GIB, freeu_gib, fused_cost, unet_gib, unet_operations, vae_gib
from .kinds import TRANSFORMERS
from .plan import CascadePlan
from .transformers import cost_lines, stage_lines


@dataclass(frozen=True)
class StageReport:
    """One stage. exact, balanced, fast: cost of sampling all its frames at these speeds, the base image = 1.

    unet_gib, vae_gib: GPU memory, for all frames and for one. freeu_gib: the part of unet_gib that the FreeU
    node takes, if there is one.
    """

    size: Size
    scale: float
    window: Size
    """Tokens at half resolution."""
    windows: int
    dilation: int
    kernel: int
    exact: float
    balanced: float
    fast: float
    unet_gib: float
    vae_gib: float
    freeu_gib: float


@dataclass(frozen=True)
class PlanReport:
    """stages: the base first. exact, balanced, fast: cost of all; direct: of ordinary sampling at the last
    size; the base image = 1. steps: of the base image.

    restart_timestep: where later stages begin; None = the plan's scheduler is not the one this is known for.
    """

    stages: tuple[StageReport, ...]
    direct: float
    restart_timestep: int | None
    steps: int

    @property
    def exact(self) -> float:
        return sum(stage.exact for stage in self.stages)

    @property
    def balanced(self) -> float:
        return sum(stage.balanced for stage in self.stages)

    @property
    def fast(self) -> float:
        return sum(stage.fast for stage in self.stages)


def report(plan: CascadePlan, steps: int = STEPS) -> PlanReport:
    """The numbers of a plan for SDXL, whose frames ComfyUI samples as a batch and decodes in small ones.

    Where the plan leaves it open, with SDXL's restart. steps: of the base image; the authors take 50.
    """
    calls = {
        name: len(_later_timesteps(plan, min(steps, speed.max_later_steps or steps))) / steps
        for name, speed in SPEEDS.items()
    }
    frames = float(plan.frames)
    base = dataclasses.replace(  # ordinary sampling
        _stage(plan, plan.base, calls), exact=frames, balanced=frames, fast=frames
    )
    return PlanReport(
        stages=(base, *(_stage(plan, size, calls) for size in plan.stages)),
        direct=frames * unet_operations(plan.stages[-1]) / unet_operations(plan.base),
        restart_timestep=_later_timesteps(plan, steps)[0] if plan.scheduler in (None, SCHEDULER) else None,
        steps=steps,
    )


def _later_timesteps(plan: CascadePlan, steps: int) -> list[int]:
    """The timesteps of a later stage. steps: of its whole schedule, unless the plan says another number."""
    timesteps = ddim_uniform_timesteps(plan.steps or steps)
    restart = PRESETS["SDXL"].restart if plan.restart is None else plan.restart
    return list(timesteps[restart_step(timesteps, restart) :])


def _stage(plan: CascadePlan, size: Size, calls: dict[str, float]) -> StageReport:
    """calls: model calls at each speed, in units of stage 0's."""
    base, frames = plan.base, plan.frames
    scale = scale_between(base, size)
    grid, window = (level_size(to_cells(s), 1) for s in (size, base))
    windows = WindowGrid(grid, window)
    exact, balanced, fast = (
        frames
        * calls[name]
        * fused_cost(base, size, speed.fusion.mode, speed.fusion.local)
        / unet_operations(base)
        for name, speed in SPEEDS.items()
    )
    return StageReport(
        size=size,
        scale=scale,
        window=windows.clipped,
        windows=windows.count,
        dilation=dilation_factor(scale),
        kernel=blur_kernel_size(scale),
        exact=exact,
        balanced=balanced,
        fast=fast,
        unet_gib=unet_gib(size, frames),
        vae_gib=vae_gib(size),
        freeu_gib=freeu_gib(size, frames),
    )


def describe(plan: CascadePlan) -> str:
    """The plan as text: a line for each stage, then the settings, the cost and the memory."""
    if plan.kind in TRANSFORMERS:
        return "\n".join([*stage_lines(plan), *settings_lines(plan), *cost_lines(plan)])
    numbers = report(plan)
    lines = [f"Stage 0: {plan.base}, the base size"]
    if plan.frames > 1:
        lines.insert(0, f"Video of {plan.frames} frames: cost and memory of sampling count all of them")
    for r, stage in enumerate(numbers.stages[1:], start=1):
        lines.append(
            f"Stage {r}: {stage.size}, {stage.scale:.2f} times the base; {stage.windows} windows of "
            f"{stage.window} tokens "
            f"at half resolution, dilation {stage.dilation}, blur kernel {stage.kernel}"
        )
    return "\n".join([*lines, *settings_lines(plan), *_cost_lines(numbers)])


def settings_lines(plan: CascadePlan) -> list[str]:
    resize = "an upscale model" if plan.upscale_model is not None else plan.method
    skipped = "the preset's share" if plan.restart is None else f"{plan.restart:.0%}"
    lines = [
        f"Each stage skips {skipped} of the noise; images are enlarged by {resize}; VAE tiling {plan.tiling}"
    ]
    changed = [
        f"{value}"
        for value in (plan.steps and f"{plan.steps} steps", plan.sampler_name, plan.scheduler)
        if value
    ]
    return [*lines, f"Stages from 1 on: {', '.join(changed)}"] if changed else lines


def _cost_lines(numbers: PlanReport) -> list[str]:
    stages = list(enumerate(numbers.stages))
    costs = ", ".join(f"stage {r} {_by_speed(stage)}" for r, stage in stages[1:])
    memory = ", ".join(
        f"stage {r} {stage.unet_gib:.1f} (VAE in one piece {stage.vae_gib:.1f})" for r, stage in stages
    )
    return [
        f"Cost on SDXL's UNet with {numbers.steps} steps, the base image = 1: {costs}; all with the base "
        f"{_by_speed(numbers)}; direct sampling at {numbers.stages[-1].size} {numbers.direct:.1f}",
        f"GPU memory in GiB, an estimate for SDXL in fp16: {memory}; VAE in tiles {TILED_VAE_GIB:.1f}; "
        f"with FreeU, its filter takes {numbers.stages[-1].freeu_gib:.1f} of the last stage's",
    ]


def _by_speed(cost: StageReport | PlanReport) -> str:
    return f"{cost.exact:.1f} (Balanced {cost.balanced:.1f}, Fast {cost.fast:.1f})"
