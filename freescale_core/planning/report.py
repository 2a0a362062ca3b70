"""Predicts size, cost and memory of every stage of a plan, as numbers and as text."""

import dataclasses
from dataclasses import dataclass

from ..attention.windows import WindowGrid
from ..geometry import Size, blur_kernel_size, dilation_factor, level_size, scale_between, to_cells
from ..presets import PRESETS, SCHEDULER, STEPS
from ..schedule import ddim_uniform_timesteps, restart_step
from .cost import TILED_VAE_GIB, freeu_gib, fused_cost, unet_gib, unet_operations, vae_gib
from .plan import CascadePlan


@dataclass(frozen=True)
class StageReport:
    """One stage. exact, fast: cost of its sampling at the speeds Exact and Balanced, the base image = 1.

    unet_gib, vae_gib: GPU memory. freeu_gib: the part of unet_gib that the FreeU node takes, if there is one.
    """

    size: Size
    scale: float
    window: Size
    """Tokens at half resolution."""
    windows: int
    dilation: int
    kernel: int
    exact: float
    fast: float
    unet_gib: float
    vae_gib: float
    freeu_gib: float


@dataclass(frozen=True)
class PlanReport:
    """stages: the base first. exact, fast: cost of all; direct: of ordinary sampling at the last size; the
    base image = 1.

    restart_timestep: where later stages begin; None = the plan's scheduler is not the one this is known for.
    """

    stages: tuple[StageReport, ...]
    direct: float
    restart_timestep: int | None

    @property
    def exact(self) -> float:
        return sum(stage.exact for stage in self.stages)

    @property
    def fast(self) -> float:
        return sum(stage.fast for stage in self.stages)


def report(plan: CascadePlan) -> PlanReport:
    """The numbers of a plan for SDXL.

    With the authors' steps in stage 0 and, where the plan leaves it open, SDXL's restart.
    """
    timesteps = ddim_uniform_timesteps(plan.steps or STEPS)
    skipped = restart_step(timesteps, PRESETS["SDXL"].restart if plan.restart is None else plan.restart)
    base = dataclasses.replace(_stage(plan.base, plan.base, 1.0), exact=1.0, fast=1.0)  # ordinary sampling
    return PlanReport(
        stages=(base, *(_stage(plan.base, size, (len(timesteps) - skipped) / STEPS) for size in plan.stages)),
        direct=unet_operations(plan.stages[-1]) / unet_operations(plan.base),
        restart_timestep=timesteps[skipped] if plan.scheduler in (None, SCHEDULER) else None,
    )


def _stage(base: Size, size: Size, calls: float) -> StageReport:
    """calls: model calls in units of stage 0's."""
    scale = scale_between(base, size)
    grid, window = (level_size(to_cells(s), 1) for s in (size, base))
    windows = WindowGrid(grid, window)
    return StageReport(
        size=size,
        scale=scale,
        window=windows.clipped,
        windows=windows.count,
        dilation=dilation_factor(scale),
        kernel=blur_kernel_size(scale),
        exact=calls * fused_cost(base, size, "exact") / unet_operations(base),
        fast=calls * fused_cost(base, size, "fast") / unet_operations(base),
        unet_gib=unet_gib(size),
        vae_gib=vae_gib(size),
        freeu_gib=freeu_gib(size),
    )


def describe(plan: CascadePlan) -> str:
    """The plan as text: a line for each stage, then the settings, the cost and the memory."""
    numbers = report(plan)
    lines = [f"Stage 0: {plan.base}, the base size"]
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
    costs = ", ".join(f"stage {r} {stage.exact:.1f} (Balanced {stage.fast:.1f})" for r, stage in stages[1:])
    memory = ", ".join(
        f"stage {r} {stage.unet_gib:.1f} (VAE in one piece {stage.vae_gib:.1f})" for r, stage in stages
    )
    return [
        f"Cost on SDXL's UNet with {STEPS} steps, the base image = 1: {costs}; all with the base "
        f"{numbers.exact:.1f} "
        f"(Balanced {numbers.fast:.1f}); direct sampling at {numbers.stages[-1].size} {numbers.direct:.1f}",
        f"GPU memory in GiB, an estimate for SDXL in fp16: {memory}; VAE in tiles {TILED_VAE_GIB:.1f}; "
        f"with FreeU, its filter takes {numbers.stages[-1].freeu_gib:.1f} of the last stage's",
    ]
