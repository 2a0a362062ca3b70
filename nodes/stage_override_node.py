"""FreeScaleStageOverride: another model, prompt or cfg from a stage of the cascade on."""

from comfy_api.latest import io

from . import widgets
from .cascade.stages import StageOverride
from .host.releases import search_aliases
from .host.types import Conditioning, Model
from .input_checks import expect_inputs
from .widgets import OverridesType


class FreeScaleStageOverride(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="FreeScaleStageOverride",
            display_name="FreeScale Stage Override",
            category="FreeScale",
            description="Gives the later stages of FreeScale Cascade another model, prompt or cfg. Chain "
            "several for several stages.",
            inputs=[
                io.Int.Input(
                    "from_stage",
                    default=1,
                    min=1,
                    max=16,
                    tooltip="First stage that changes; the base is stage 0.",
                ),
                widgets.cfg(0.0, "Guidance scale; 0 = as before."),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="Such as one with a LoRA or another alpha. Unpatched, it gets the cascade's "
                    "settings.",
                ),
                io.Conditioning.Input(
                    "positive",
                    optional=True,
                    tooltip="What these stages should show, also with a ControlNet.",
                ),
                io.Conditioning.Input(
                    "negative", optional=True, tooltip="What these stages should not show."
                ),
                OverridesType.Input(
                    "overrides", optional=True, tooltip="Overrides of other stages to go on from."
                ),
            ],
            outputs=[
                OverridesType.Output(
                    display_name="overrides", tooltip="For FreeScale Cascade or the next override."
                )
            ],
            **search_aliases("per stage", "lora per stage", "refiner", "later stages"),
        )

    @classmethod
    def execute(
        cls,
        from_stage: int,
        cfg: float,
        model: Model | None = None,
        positive: Conditioning | None = None,
        negative: Conditioning | None = None,
        overrides: tuple[StageOverride, ...] | None = None,
    ) -> io.NodeOutput:
        expect_inputs(cls.define_schema(), from_stage=from_stage, cfg=cfg)
        override = StageOverride(from_stage, model, positive, negative, cfg or None)
        return io.NodeOutput((*(overrides or ()), override))
