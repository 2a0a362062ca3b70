"""Predicts tokens and operations of every stage of a plan for a transformer, as numbers and as text."""

from dataclasses import dataclass

from ..geometry import Size, scale_between, to_tokens
from .cost import TILED_VAE_GIB, attention_operations, neighbourhood_pairs, transformer_cost, vae_gib
from .kinds import TRANSFORMERS, TransformerKind
from .plan import CascadePlan


@dataclass(frozen=True)
class TransformerStage:
    """One stage.

    tokens: of the image, or of all frames of a video. attention, operations: of one model call, in units of
    stage 0's; operations hold the attention, too, and balanced are those at the speeds Balanced and Fast.
    vae_gib: GPU memory for one image, None = not known.
    """

    size: Size
    scale: float
    tokens: int
    attention: float
    operations: float
    balanced: float
    vae_gib: float | None


def transformer_stages(plan: CascadePlan) -> tuple[TransformerStage, ...]:
    """The stages of a plan for one of `kinds.TRANSFORMERS`, in whole tokens; the base first."""
    kind = TRANSFORMERS[plan.kind]
    return tuple(_stage(plan, kind, size) for size in (plan.base, *plan.rounded(kind.token).stages))


def _stage(plan: CascadePlan, kind: TransformerKind, size: Size) -> TransformerStage:
    frames = kind.latent_frames(plan.frames)
    grid, base_grid = to_tokens(size, kind.token), to_tokens(plan.base, kind.token)
    tokens, base = frames * grid.area, frames * base_grid.area + kind.text
    attending = tokens + kind.text
    pairs = neighbourhood_pairs(grid, base_grid, frames, kind.text) if kind.has_rope else attending**2
    cost_of_base = transformer_cost(base, kind.width)
    return TransformerStage(
        size=size,
        scale=scale_between(plan.base, size),
        tokens=tokens,
        attention=attention_operations(attending**2, kind.width) / attention_operations(base**2, kind.width),
        operations=transformer_cost(attending, kind.width) / cost_of_base,
        balanced=1.0 if size == plan.base else transformer_cost(attending, kind.width, pairs) / cost_of_base,
        vae_gib=vae_gib(size) if kind.has_sdxl_decoder else None,
    )


def stage_lines(plan: CascadePlan) -> list[str]:
    """A line for each stage, and one before them for the frames of a video."""
    base, *later = transformer_stages(plan)
    lines = [f"Stage 0: {base.size}, the base size; {base.tokens} tokens"]
    for r, stage in enumerate(later, start=1):
        lines.append(
            f"Stage {r}: {stage.size}, {stage.scale:.2f} times the base; {stage.tokens} tokens, attention "
            f"{stage.attention:.1f}, all operations {stage.operations:.1f} (Balanced {stage.balanced:.1f})"
        )
    if plan.frames > 1 and TRANSFORMERS[plan.kind].is_video:
        latent = TRANSFORMERS[plan.kind].latent_frames(plan.frames)
        lines.insert(0, f"Video of {plan.frames} frames, {latent} in the latent: tokens count all of them")
    return lines


def cost_lines(plan: CascadePlan) -> list[str]:
    """What the numbers of the stages are, and what is known of the memory."""
    stages = enumerate(transformer_stages(plan))
    vae = [f"stage {r} {stage.vae_gib:.1f}" for r, stage in stages if stage.vae_gib is not None]
    memory = f"GPU memory of sampling is not known for {plan.kind}"
    if vae:
        memory += f"; VAE in one piece, in GiB: {', '.join(vae)}; in tiles {TILED_VAE_GIB:.1f}"
    text = TRANSFORMERS[plan.kind].text
    beside = f" with {text} tokens of text" if text else ""
    return [
        f"Operations of one model call of {plan.kind}{beside}, stage 0 = 1, counted; how many calls a stage "
        "takes depends on scheduler and shift",
        memory,
    ]
