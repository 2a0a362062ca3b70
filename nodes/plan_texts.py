"""What FreeScale Plan says about a plan, in the language of the web page.

The texts lie in locales/<language>/main.json.
"""

import json
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from string import Template
from typing import Any

from ..freescale_core.planning.kinds import TRANSFORMERS
from ..freescale_core.planning.plan import CascadePlan
from ..freescale_core.planning.report import PlanReport
from ..freescale_core.presets import FEW_STEP, PRESETS

LOCALES = Path(__file__).parents[1] / "locales"
ENGLISH = "en"
SECTION = "freescalePlan"
Say = Callable[..., str]
"""say(key, **values) -> the text of the key with the values in it."""


def texts_in(language: str) -> dict[str, Any]:
    """All texts of a language, those of English where it has none."""
    return _texts(language if language in _languages() else ENGLISH)


def saying(language: str = ENGLISH) -> Say:
    texts = texts_in(language)

    def say(key: str, **values: object) -> str:
        return Template(texts[key]).substitute(values)

    return say


def translated(error: str, language: str) -> str:
    """A sentence of an error in another language; as it is, if nobody has translated it."""
    for key, english in texts_in(ENGLISH)["errors"].items():
        found = _pattern(english).fullmatch(error)
        if found:
            return Template(texts_in(language)["errors"][key]).substitute(found.groupdict())
    return error


def duration(seconds: float, say: Say) -> str:
    if seconds < 100:
        return say("seconds", number=f"{seconds:.0f}")
    minutes = seconds / 60
    return (
        say("minutes", number=f"{minutes:.0f}")
        if minutes < 100
        else say("hours", number=f"{minutes / 60:.1f}")
    )


def settings_texts(plan: CascadePlan, say: Say) -> list[str]:
    """How later stages are made, where that is not what stage 0 does."""
    resize = say("upscaleModel") if plan.upscale_model is not None else plan.method
    again = (
        say("presetsShare", share=_again(PRESETS["SDXL"].restart), few=_again(FEW_STEP.restart))
        if plan.restart is None
        else _again(plan.restart)
    )
    lines = [say("settings", resize=resize, again=again, tiling=plan.tiling)]
    lines[:0] = _frames_texts(plan, say)
    steps = plan.steps and say("steps", number=plan.steps)
    changes = [change for change in (steps, plan.sampler_name, plan.scheduler) if change]
    return [*lines, say("later", changes=", ".join(changes))] if changes else lines


def _frames_texts(plan: CascadePlan, say: Say) -> list[str]:
    """How the frames of a video count; a batch of images changes nothing in units of the base's."""
    kind = TRANSFORMERS.get(plan.kind)
    if plan.frames == 1 or (kind and not kind.is_video):
        return []
    if kind is None:
        return [say("frames", frames=plan.frames)]
    return [say("framesTokens", frames=plan.frames, latent=kind.latent_frames(plan.frames))]


def cost_bars(numbers: PlanReport, base_seconds: float | None, say: Say) -> list[dict[str, Any]]:
    """What all stages take at each speed, and what plain sampling at the last size would take.

    base_seconds: of the base image on this server; None = not known.
    """
    bars = [
        *((say("all", speed=speed), cost) for speed, cost in _by_speed(numbers).items()),
        (say("direct"), numbers.direct),
    ]
    return [{"label": label, "cost": cost, "text": _cost(cost, base_seconds, say)} for label, cost in bars]


def _by_speed(numbers: PlanReport) -> dict[str, float]:
    return {"Exact": numbers.exact, "Balanced": numbers.balanced, "Fast": numbers.fast}


def _cost(cost: float, base_seconds: float | None, say: Say) -> str:
    number = f"{cost:.1f}" if cost < 100 else f"{cost:.0f}"
    if base_seconds is None:
        return number
    return say("about", cost=number, time=duration(cost * base_seconds, say))


def _again(restart: float) -> str:
    """The share of the sampling that a later stage does again."""
    return f"{1 - restart:.0%}"


@lru_cache
def _languages() -> frozenset[str]:
    return frozenset(file.parent.name for file in LOCALES.glob("*/main.json"))


@lru_cache
def _texts(language: str) -> dict[str, Any]:
    texts: dict[str, Any] = json.loads((LOCALES / language / "main.json").read_text(encoding="utf-8"))
    return texts.get(SECTION) or _texts(ENGLISH)


@lru_cache
def _pattern(english: str) -> re.Pattern[str]:
    """A text whose $names stand for anything."""
    return re.compile(re.sub(r"\\\$(\w+)", r"(?P<\1>.+)", re.escape(english)), re.DOTALL)
