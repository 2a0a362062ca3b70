"""GET /freescale/plan: the stages of a plan in numbers, which the web page draws in FreeScale Plan.

It changes nothing.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from ..freescale_core.detail import weight_at
from ..freescale_core.planning.plan import CascadePlan
from ..freescale_core.planning.report import report, settings_lines
from ..freescale_core.presets import STEPS
from ..freescale_core.schedule import TIMESTEPS
from .host.releases import server_routes
from .input_checks import expect_choice, expect_number
from .plan_fit import Card, fit_line, vae_gib_as_used
from .plan_node import TARGETS, FreeScalePlan

if TYPE_CHECKING:
    from aiohttp import web

PATH = "/freescale/plan"
LINKED = "linked"
"""Query parameter with the names of inputs that get their value from another node, separated by commas."""
ALPHAS = (0.5, 1.0, 2.0, 3.0)
CURVE_STEP = 25
SETTING_INPUTS = {"method", "tiling", "later_sampler", "later_scheduler"}
"""Inputs that change no number: the stages are known without them."""


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
        return web.json_response({"error": str(error)}, status=400)


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
    if unknown:
        return {
            "message": f"The stages are known once the workflow runs: {', '.join(unknown)} comes from "
            "another node."
        }
    plan, _ = FreeScalePlan.execute(**values, upscale_model="upscale_model" in linked or None).result
    card = Card.of_this_server()
    return _numbers(plan, card) | {
        "fit": fit_line(plan, card),
        "settings": [*settings_lines(plan), *_unknown_settings([n for n in linked if n in SETTING_INPUTS])],
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


def _numbers(plan: CascadePlan, card: Card) -> dict[str, Any]:
    numbers = report(plan)
    timesteps = range(TIMESTEPS, -1, -CURVE_STEP)
    curves = [{"alpha": alpha, "points": [[t, weight_at(t, alpha)] for t in timesteps]} for alpha in ALPHAS]
    others = {"exact": numbers.exact, "fast": numbers.fast, "steps": STEPS, "curves": curves}
    found = dataclasses.asdict(numbers) | others
    for stage in found["stages"]:
        stage["vae_gib"] = vae_gib_as_used(plan, stage["size"], card)
    return found


def _unknown_settings(names: list[str]) -> list[str]:
    return (
        [f"Shown with the default, as the value comes from another node: {', '.join(names)}"] if names else []
    )
