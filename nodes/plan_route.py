"""GET /freescale/plan: the stages of a plan in numbers, which the web page draws in FreeScale Plan.

It changes nothing.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from ..freescale_core.detail import weight_at
from ..freescale_core.planning.kinds import SDXL, TRANSFORMERS
from ..freescale_core.planning.plan import CascadePlan
from ..freescale_core.planning.report import report
from ..freescale_core.planning.transformers import transformer_stages
from ..freescale_core.presets import STEPS
from ..freescale_core.schedule import TIMESTEPS
from .host.releases import server_routes
from .input_checks import expect_choice, expect_number
from .patching.step_times import STEP_TIMES
from .plan_fit import Card, fit_line, vae_gib_as_used
from .plan_node import TARGETS, FreeScalePlan
from .plan_texts import ENGLISH, Say, cost_bars, duration, saying, settings_texts, texts_in, translated
from .widgets import MAX_ALPHA

if TYPE_CHECKING:
    from aiohttp import web

PATH = "/freescale/plan"
LINKED = "linked"
"""Query parameter with the names of inputs that get their value from another node, separated by commas."""
LANGUAGE = "language"
"""Query parameter: the page's language."""
ALPHA = "alpha"
"""Query parameter: the alpha of the FreeScale Model Patch that the plan is connected to."""
ALPHAS = (0.5, 1.0, 2.0, 3.0)
COST_KIND = SDXL
"""The kind of model that a time can be told for."""
CURVE_STEP = 25
LABELS = {
    *("stage", "base", "time", "memory", "sampling", "vae"),
    *("curves", "close", "free", "noise", "image", "restart"),
    *("tokens", "attention", "ofStage0"),
}
"""The texts that the drawing takes as they are."""
SETTING_INPUTS = {"method", "tiling", "later_sampler", "later_scheduler", "frames", "kind"}
"""Inputs that change no stage; cost and memory are then told for the defaults."""


def add_plan_route() -> None:
    """Offer the route, if the host runs as a server."""
    routes = server_routes()
    if routes is not None:
        routes.get(PATH)(_respond)


async def _respond(request: "web.Request") -> "web.Response":
    from aiohttp import web  # Only a server needs it; scripts that use the nodes do not.

    try:
        return web.json_response(plan_numbers(request.query))
    except ValueError as error:
        language = request.query.get(LANGUAGE, ENGLISH)
        return web.json_response({"error": translated(str(error), language)}, status=400)


def plan_numbers(query: Mapping[str, str]) -> dict[str, Any]:
    """The answer to a query of the node's widget values; what is missing has the node's default.

    Raises:
        ValueError: a value the node would refuse, too.
    """
    linked = list(dict.fromkeys(query.get(LINKED, "").split(",")))
    inputs = [i for i in FreeScalePlan.define_schema().inputs if isinstance(i, io.WidgetInput)]
    values = {
        i.id: i.default if i.id in linked or i.id not in query else _value(i, query[i.id]) for i in inputs
    }
    unused = {name for target, names in TARGETS.items() if target != values["target"] for name in names}
    unknown = [i.id for i in inputs if i.id in linked and i.id not in SETTING_INPUTS | unused]
    language = query.get(LANGUAGE, ENGLISH)
    say = saying(language)
    if unknown:
        return {"message": say("unknown", names=", ".join(unknown))}
    plan, _ = FreeScalePlan.execute(**values, upscale_model="upscale_model" in linked or None).result
    card, names = Card.of_this_server(), [name for name in linked if name in SETTING_INPUTS]
    if plan.kind in TRANSFORMERS:
        plan = plan.rounded(TRANSFORMERS[plan.kind].token)
        numbers = _transformer_numbers(plan, card, say)
    else:
        numbers = _unet_numbers(plan, card, say)
    return numbers | {
        "curves": _curves(query.get(ALPHA, ""), say),
        "heading": _heading(plan, say),
        "fit": fit_line(plan, card, say),
        "settings": [*settings_texts(plan, say), *([say("linked", names=", ".join(names))] if names else [])],
        "labels": {key: text for key, text in texts_in(language).items() if key in LABELS},
    }


def _value(widget: Any, text: str) -> Any:
    """A widget's value from its text, within the widget's limits."""
    if isinstance(widget, io.Combo.Input):
        expect_choice("FreeScale Plan", widget.options, text)
    if not isinstance(widget, io.Int.Input | io.Float.Input):
        return text
    try:
        number = int(text) if isinstance(widget, io.Int.Input) else float(text)
    except ValueError:
        number = math.nan
    expect_number("FreeScale Plan", widget, number, text)
    return number


def _unet_numbers(plan: CascadePlan, card: Card, say: Say) -> dict[str, Any]:
    numbers = report(plan, _base_steps(plan))
    costs = {"exact": numbers.exact, "balanced": numbers.balanced, "fast": numbers.fast}
    found = dataclasses.asdict(numbers) | costs
    for stage in found["stages"]:
        stage["vae_gib"] = vae_gib_as_used(plan, stage["size"], card)
    return found | {
        "bars": cost_bars(numbers, _base_seconds(plan), say),
        "timed": _timed(plan, say),
        "note": say("note", steps=numbers.steps, freeu=f"{numbers.stages[-1].freeu_gib:.1f}"),
    }


def _transformer_numbers(plan: CascadePlan, card: Card, say: Say) -> dict[str, Any]:
    """How many calls a stage takes depends on scheduler and shift, so nothing is added up."""
    stages = [dataclasses.asdict(stage) for stage in transformer_stages(plan)]
    for stage in stages:
        if stage["vae_gib"] is not None:
            stage["vae_gib"] = vae_gib_as_used(plan, stage["size"], card)
    note = say("noteTokens", kind=plan.kind, text=TRANSFORMERS[plan.kind].text)
    return {"stages": stages, "restart_timestep": None, "note": note}


def _curves(own: str, say: Say) -> list[dict[str, Any]]:
    """c(t) of eq. 4 for some alphas, and for the workflow's own, which is a text from the page."""
    try:
        alpha = float(own)
    except ValueError:
        alpha = math.nan
    alphas = sorted({*ALPHAS, *([alpha] if 0 <= alpha <= MAX_ALPHA else [])})
    timesteps = range(TIMESTEPS, -1, -CURVE_STEP)
    return [
        {
            "alpha": value,
            "own": value == alpha,
            "label": say("yours" if value == alpha else "alpha", alpha=f"{value:g}"),
            "points": [[t, weight_at(t, value)] for t in timesteps],
        }
        for value in alphas
    ]


def _heading(plan: CascadePlan, say: Say) -> str:
    last, count = plan.stages[-1], len(plan.stages)
    size = f"{last.width} × {last.height}"
    return say("headingOne", size=size) if count == 1 else say("heading", size=size, count=count)


def _base_steps(plan: CascadePlan) -> int:
    """Of the last base image of this size on this server, else the authors'."""
    found = STEP_TIMES.of(COST_KIND, plan.base)
    return STEPS if found is None or found.steps is None else found.steps


def _base_seconds(plan: CascadePlan) -> float | None:
    found = STEP_TIMES.of(COST_KIND, plan.base)
    return found.step_seconds * _base_steps(plan) if found is not None else None


def _timed(plan: CascadePlan, say: Say) -> str:
    seconds = _base_seconds(plan)
    if seconds is None:
        return say("notTimed")
    return say("timed", time=duration(seconds, say), number=_base_steps(plan))
