"""FreeScaleStageOverride: another model, prompt or cfg from a stage of the cascade on."""

import dataclasses
import logging
from dataclasses import dataclass
from typing import Any

from comfy_api.latest import io

from ..freescale_core.geometry import Size
from ..freescale_core.plan import CascadePlan
from .cascade import SamplerChoice, Stage
from .host import search_aliases
from .input_checks import expect_inputs
from .stage_sampling import settings_of, with_settings

log = logging.getLogger("FreeScale")
OverridesType = io.Custom("FREESCALE_STAGE_OVERRIDES")
MAX_SEED = 2**64


@dataclass(frozen=True)
class StageOverride:
    """What changes from stage `from_stage` on; None = as before."""

    from_stage: int
    model: Any = None
    positive: Any = None
    negative: Any = None
    cfg: float | None = None

    def with_base(self, base: Size) -> "StageOverride":
        """The override with the base size of a plan in its model, if that carries FreeScale settings of its own."""
        own = None if self.model is None else settings_of(self.model)
        if own is None:
            return self
        return dataclasses.replace(self, model=with_settings(self.model, dataclasses.replace(own, base=base)))


class FreeScaleStageOverride(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FreeScaleStageOverride",
            display_name="FreeScale Stage Override",
            category="FreeScale",
            description="Gives the later stages of FreeScale Cascade another model, prompt or cfg. Chain several for several stages.",
            inputs=[
                io.Int.Input("from_stage", default=1, min=1, max=16, tooltip="First stage that changes; the base is stage 0."),
                io.Float.Input("cfg", default=0.0, min=0.0, max=100.0, step=0.1, round=0.01, tooltip="Guidance scale; 0 = as before."),
                io.Model.Input(
                    "model", optional=True, tooltip="Such as one with a LoRA or another alpha. Unpatched, it gets the cascade's settings."
                ),
                io.Conditioning.Input("positive", optional=True, tooltip="What these stages should show, also with a ControlNet."),
                io.Conditioning.Input("negative", optional=True, tooltip="What these stages should not show."),
                OverridesType.Input("overrides", optional=True, tooltip="Overrides of other stages to go on from."),
            ],
            outputs=[OverridesType.Output(display_name="overrides", tooltip="For FreeScale Cascade or the next override.")],
            **search_aliases("per stage", "lora per stage", "refiner", "later stages"),
        )

    @classmethod
    def execute(
        cls,
        from_stage: int,
        cfg: float,
        model: Any = None,
        positive: Any = None,
        negative: Any = None,
        overrides: tuple[StageOverride, ...] = (),
    ) -> io.NodeOutput:
        expect_inputs(cls.define_schema(), from_stage=from_stage, cfg=cfg)
        return io.NodeOutput((*overrides, StageOverride(from_stage, model, positive, negative, cfg or None)))


def stages_of(base: Stage, plan: CascadePlan, overrides: tuple[StageOverride, ...]) -> list[Stage]:
    """Stage 0 as given, then stages 1, 2, ... as plan and overrides say. A later start wins over an earlier one.

    Raises:
        ValueError: an override's model has no UNet, or another latent space.
    """
    for override in overrides:
        if override.from_stage > len(plan.stages):
            log.warning(
                "FreeScale: the override from stage %d on has no effect: the last is stage %d.", override.from_stage, len(plan.stages)
            )
    ordered = sorted(overrides, key=lambda override: override.from_stage)
    stages = [base]
    for r in range(1, len(plan.stages) + 1):
        stage = base
        for override in ordered:
            stage = _overridden(stage, override) if override.from_stage <= r else stage
        stages.append(_later_stage(stage, r, plan))
    return stages


def _overridden(stage: Stage, override: StageOverride) -> Stage:
    model = stage.model if override.model is None else _fitted(override.model, stage.model)
    positive = stage.positive if override.positive is None else override.positive
    negative = stage.negative if override.negative is None else override.negative
    choice = stage.choice if override.cfg is None else dataclasses.replace(stage.choice, cfg=override.cfg)
    return Stage(model, positive, negative, choice)


def _fitted(model: Any, before: Any) -> Any:
    """The override's MODEL, with the settings of the one before if it carries none."""
    got, expected = (type(m.model.latent_format).__name__ for m in (model, before))
    if got != expected:
        raise ValueError(
            f"FreeScale Stage Override expects a model with the latent space {expected}, got {got}: "
            "start a second FreeScale Cascade from the picture."
        )
    own, settings = settings_of(model), settings_of(before)
    return model if own is not None or settings is None else with_settings(model, settings)


def _later_stage(stage: Stage, r: int, plan: CascadePlan) -> Stage:
    choice, settings = stage.choice, settings_of(stage.model)
    most_steps = settings.most_later_steps if settings is not None else None
    later = SamplerChoice(
        (choice.seed + r) % MAX_SEED,
        plan.steps or min(choice.steps, most_steps or choice.steps),
        choice.cfg,
        plan.sampler_name or choice.sampler_name,
        plan.scheduler or choice.scheduler,
    )
    restart = plan.restart if plan.restart is not None or settings is None else settings.restart
    return dataclasses.replace(stage, choice=later).restarted(restart or 0.0)
