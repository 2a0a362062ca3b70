"""Lack of memory at a random one of the pack's own allocations, once, in bursts, or from there on.

The run falls back and gives the same image within rounding, or it returns the finished stages, or it passes
the error on. Nothing stays changed, nothing stays alive, and the next run equals an undisturbed one.
"""

import tools.harness.in_process  # noqa: F401, I001 (ComfyUI, then the pack)

# isort: split
import random

import torch
from freescale_pack.nodes.cascade.kept import KEPT

from tools.campaign.parts.model_state import ModelState, live_tensors
from tools.campaign.parts.subjects import random_subject
from tools.campaign.runner import CaseResult
from tools.harness.out_of_memory import OurAllocations

ROUNDING = 1e-4
"""Most relative error of a run in smaller pieces; images are compared in 0..1, as they are."""
TIMES = {"once": 1, "burst": 3, "from there on": 10**9}


def run_case(draw: random.Random):
    with torch.inference_mode():
        return full(random_subject(draw), draw)


def full(subject, draw: random.Random):
    """Run a subject undisturbed, without memory at an allocation of ours, and undisturbed again."""
    expected = _run(subject)
    with OurAllocations() as seen:
        _run(subject)
    if not seen.sites:
        return CaseResult(subject.name, "nothing of ours")
    # Most lines lie outside the budget, where there is nothing to try again: half of the cases lie inside.
    sites = draw.choice((seen.sites, seen.budget_sites or seen.sites))
    site, times = draw.choice(sorted(sites)), draw.choice(sorted(TIMES))
    first = draw.randrange(seen.sites[site])
    model, alive = ModelState(subject.model), live_tensors()
    ending, broken = _ends(subject, expected, OurAllocations(site, TIMES[times], first))
    KEPT.clear()
    broken += model.changes()
    again = _run(subject)
    if len(again) != len(expected) or not all(map(torch.equal, again, expected)):
        broken.append("another image in the next run")
    del again
    if (left := live_tensors() - alive) > 0:
        broken.append(f"{left} tensors left alive")
    place = f"no memory at {site} {times}, at call {first}"
    return CaseResult(subject.name, ending, f"{place} gave {', '.join(broken)}" if broken else None)


def _run(subject):
    KEPT.clear()
    found = subject.run()
    KEPT.clear()
    return found


def _ends(subject, expected, allocations):
    """How the run ends, and what is wrong with that."""
    unfinished = KEPT.unfinished
    try:
        with allocations:
            got = subject.run()
    except torch.cuda.OutOfMemoryError:
        # A single lack of memory inside the budget is what the budget is for.
        is_retried = allocations.in_budget == [True]
        return "passed on", ["an error where smaller pieces were due"] if is_retried else []
    if KEPT.unfinished > unfinished:
        latent, *images = got
        return "finished stages", _differences(images, expected[1 : 1 + len(images)])
    if not allocations.in_budget:
        return "not reached", _differences(got, expected)
    broken = [] if len(got) == len(expected) else [f"{len(got)} results in place of {len(expected)}"]
    return "smaller pieces", broken + _differences(got, expected)


def _differences(got, expected):
    """What is wrong with some results, beyond rounding."""
    errors = [
        float((a - b).norm() / b.norm()) if a.shape == b.shape else float("inf")
        for a, b in zip(got, expected, strict=False)
    ]
    return [f"an error of {max(errors):.1e}"] if max(errors, default=0.0) > ROUNDING else []
