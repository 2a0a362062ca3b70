"""Hundreds of prompts through one server: templates with two steps, some cancelled, wrong or failing.

After each the server counts its memory, files, threads, objects, tensors and kept stages. None of them grows
after a warm-up: the 95 % interval of no slope lies above its bound, which is stated beforehand. Nor does a
prompt take longer and longer, and nothing is ever left on a network.
"""

import random
import statistics
import time
from collections import defaultdict

from tools.campaign.parts.server import running_server
from tools.campaign.parts.slope import slope_of
from tools.campaign.parts.small_prompts import small_prompt, with_failing_model, with_half_a_base
from tools.campaign.runner import CaseResult
from tools.harness.comfy_client import ComfyClient, Prompt

PROMPTS = 300
WARM_UP = 3
"""The first of so many parts of the prompts is not fitted: libraries, caches and allocators fill up."""
BOUNDS = {
    "memory": 0.1,  # MiB; the smallest image that FreeScale makes here, 128 x 128, has twice as much.
    "files": 0.02,  # A limit of 1024 open files is reached after 50,000 prompts.
    "threads": 0.02,
    "objects": 20.0,  # A prompt has some ten nodes: two objects of each.
    "tensors": 0.1,  # Four of nine prompts do not finish: one tensor of every fourth of these.
    "kept stages": 0.1,
    "latency": 0.001,  # Of the usual time of the same template: a third more after 300 prompts.
}
"""Quantity -> most growth per prompt."""
UNITS = {"memory": "MiB"}
KINDS = (*["whole"] * 5, *["cancelled"] * 2, "wrong", "fails")

Counts = dict[str, list[float]]
"""Quantity -> its value after each prompt."""


def run_case(draw: random.Random):
    with running_server() as client:
        counts, broken = measured(client, draw, PROMPTS)
    figures, grown = growth(counts)
    ending = "grown" if grown else "steady"
    return CaseResult(f"{PROMPTS} prompts", ending, ", ".join(broken + grown) or None, figures)


def measured(client: ComfyClient, draw: random.Random, prompts: int) -> tuple[Counts, list[str]]:
    """Send prompts one after another and count after each; the counts, and what was wrong besides."""
    counts, broken, seconds = defaultdict(list), [], []
    for number in range(prompts):
        name, prompt = small_prompt(draw)
        kind, start = draw.choice(KINDS), time.monotonic()
        broken += [f"prompt {number}, {name}, {problem}" for problem in _problems(client, draw, kind, prompt)]
        if kind == "whole":
            seconds.append((name, time.monotonic() - start))
        client.post("/history", {"clear": True}).raise_for_status()  # It grows by a prompt each time.
        now = client.get("/campaign/counts")
        if left := now.pop("left on networks"):
            broken.append(f"prompt {number}, {name}, {kind}, left {left} hooks, methods or dilations")
        for quantity, value in now.items():
            counts[quantity].append(value)
    counts["latency"] = _relative(seconds)
    return counts, broken


def growth(counts: Counts) -> tuple[dict[str, str], list[str]]:
    """What each quantity grows by, in words, and which of them beyond its bound."""
    figures, grown = {}, []
    for quantity, values in counts.items():
        slope, bound = slope_of(values[len(values) // WARM_UP :]), BOUNDS[quantity]
        unit = f" {UNITS[quantity]}" if quantity in UNITS else ""
        figures[quantity] = f"{slope}{unit} a prompt, at most {bound:g}; {values[-1]:.4g} at the end"
        if slope.low > bound:
            grown.append(f"{quantity} grows by {slope}{unit} a prompt, at most {bound:g} expected")
    return figures, grown


def _relative(seconds: list[tuple[str, float]]) -> list[float]:
    """Each time over the median of its template."""
    usual = {name: statistics.median(s for other, s in seconds if other == name) for name, _ in seconds}
    return [value / usual[name] for name, value in seconds]


def _problems(client: ComfyClient, draw: random.Random, kind: str, prompt: Prompt) -> list[str]:
    """Run a prompt; what is wrong with how it ended."""
    if kind == "cancelled":
        outcome = client.run(prompt, on_message=_cancel_at(client, draw.randrange(1, 40))).outcome
        return [] if outcome in ("interrupted", "success") else [f"cancelled, ended as {outcome}"]
    if kind == "whole":
        run = client.run(prompt)
        return [] if run.outcome == "success" else [f"ended as {run.outcome}: {run.error}"]
    if kind == "wrong":
        prompt, said = with_half_a_base(prompt), "both sides of the base size or neither"
    else:
        prompt, said = with_failing_model(prompt), "failed on purpose"
    run = client.run(prompt)
    return [] if said in run.error else [f"{kind}, ended as {run.outcome}: {run.error}"]


def _cancel_at(client: ComfyClient, message: int):
    """Presses Cancel at the message of that number, if so many come."""
    left = iter(range(message, 0, -1))

    def on_message(kind, data):
        if next(left, 0) == 1:
            client.interrupt()

    return on_message
