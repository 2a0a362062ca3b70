"""What each stage of a cascade is sampled with: the base's inputs, changed by the plan and by overrides."""

import dataclasses
import logging
from dataclasses import dataclass

import comfy.samplers
from torch import Tensor

from ...freescale_core.geometry import Size
from ...freescale_core.planning.plan import CascadePlan
from ...freescale_core.schedule import restart_step
from ...freescale_core.settings import FreeScaleSettings
from ..backbones.backbone import Backbone, backbone_of
from ..host.noise_level import timestep
from ..host.types import Conditioning, Model
from ..patching.model import settings_of

log = logging.getLogger("FreeScale")
SEEDS = 2**64


@dataclass(frozen=True)
class SamplerChoice:
    """What the widgets of KSampler say."""

    seed: int
    steps: int
    cfg: float
    sampler_name: str
    scheduler: str

    def for_stage(self, r: int) -> "SamplerChoice":
        """The same with the seed of stage r: the next one in each stage, so that no noise is used twice."""
        return dataclasses.replace(self, seed=(self.seed + r) % SEEDS)


@dataclass(frozen=True)
class LowNoiseExpert:
    """A second MODEL, for the steps that begin below the noise level `boundary` (sigma of a flow model)."""

    model: Model
    boundary: float


@dataclass(frozen=True)
class Stage:
    """What one stage is sampled with. The MODEL gets the settings when the cascade runs, not before."""

    model: Model
    settings: FreeScaleSettings
    positive: Conditioning
    negative: Conditioning
    choice: SamplerChoice
    start_step: int | None = None
    """None = the whole schedule (stage 0)."""
    low_noise: LowNoiseExpert | None = None
    """None = the MODEL samples all steps."""

    @property
    def backbone(self) -> Backbone:
        """What the MODEL's network is."""
        return backbone_of(self.model)

    def with_base(self, base: Size) -> "Stage":
        """The stage with another base size (pixels)."""
        return dataclasses.replace(self, settings=dataclasses.replace(self.settings, base=base))

    def step_count(self) -> int:
        """Number of steps that will be sampled. It can differ from `steps`: ddim_uniform turns 6 into 7."""
        return len(self.sigmas()) - 1 - (self.start_step or 0)

    def sigmas(self) -> Tensor:
        """The noise levels of the full schedule, the last one 0."""
        choice, device = self.choice, self.model.load_device
        sampler = comfy.samplers.KSampler(
            self.model, choice.steps, device, choice.sampler_name, choice.scheduler
        )
        sigmas: Tensor = sampler.sigmas
        return sigmas

    def restarted(self, restart: float) -> "Stage":
        """The stage without the first share `restart` of its schedule."""
        model_sampling = self.model.get_model_object("model_sampling")
        timesteps = [timestep(model_sampling, sigma) for sigma in self.sigmas()[:-1].tolist()]
        return dataclasses.replace(self, start_step=restart_step(timesteps, restart))


@dataclass(frozen=True)
class StageOverride:
    """What changes from stage `from_stage` on; None = as before."""

    from_stage: int
    model: Model | None = None
    positive: Conditioning | None = None
    negative: Conditioning | None = None
    cfg: float | None = None


def stages_of(base: Stage, plan: CascadePlan, overrides: tuple[StageOverride, ...]) -> list[Stage]:
    """Stage 0 as given, then stages 1, 2, ... as plan and overrides say.

    A later override wins over an earlier.

    Raises:
        ValueError: an override's model has another latent space.
    """
    for override in overrides:
        if override.from_stage > len(plan.stages):
            log.warning(
                "FreeScale: the override from stage %d on has no effect: the last is stage %d.",
                override.from_stage,
                len(plan.stages),
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
    """The stage with what the override changes.

    A MODEL without settings of its own takes over those before. It samples all steps of its stages.
    """
    if override.model is not None:
        expect_latent_space(
            "FreeScale Stage Override",
            override.model,
            stage.model,
            "start a second FreeScale Cascade from the image",
        )
        if stage.low_noise is not None:
            log.info("FreeScale: the model of a Stage Override samples in place of both experts.")
    own = None if override.model is None else settings_of(override.model)
    return dataclasses.replace(
        stage,
        model=stage.model if override.model is None else override.model,
        settings=stage.settings if own is None else own,
        low_noise=stage.low_noise if override.model is None else None,
        positive=stage.positive if override.positive is None else override.positive,
        negative=stage.negative if override.negative is None else override.negative,
        choice=dataclasses.replace(
            stage.choice, cfg=stage.choice.cfg if override.cfg is None else override.cfg
        ),
    )


def expect_latent_space(node: str, model: Model, before: Model, advice: str) -> None:
    """Raise ValueError, with what to do, unless `model` can go on with the latents of `before`."""
    got, expected = (type(m.model.latent_format).__name__ for m in (model, before))
    if got != expected:
        raise ValueError(f"{node} expects a model with the latent space {expected}, got {got}: {advice}.")


def _later_stage(stage: Stage, r: int, plan: CascadePlan) -> Stage:
    choice, settings = stage.choice, stage.settings
    later = dataclasses.replace(
        choice.for_stage(r),
        steps=plan.steps or min(choice.steps, settings.max_later_steps or choice.steps),
        sampler_name=plan.sampler_name or choice.sampler_name,
        scheduler=plan.scheduler or choice.scheduler,
    )
    restart = settings.restart if plan.restart is None else plan.restart
    return dataclasses.replace(stage, choice=later).restarted(restart)
