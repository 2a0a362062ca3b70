"""Progress, cancel, and what a FreeScale run leaves behind for the next prompt."""

import itertools
import time
from collections.abc import Callable

import numpy as np
import pytest
from prompts import cascade_prompt, changed, pixels, plain_prompt, salted

from tools.harness.comfy_client import ComfyClient

COST = 5
"""Of a step at 512 px, in steps at 256 px."""


@pytest.mark.parametrize(("steps", "base", "later"), [(4, 4, 3), (6, 7, 5)])
def test_progress_rises_with_the_cost_of_the_steps_of_all_stages(
    client: ComfyClient, steps: int, base: int, later: int
) -> None:
    """Stage 1 restarts at the first step with t up to 700: step 1 of 4 (t 501), step 2 of the 7 that
    ddim_uniform makes of 6 (t 665).

    A value may come again, with the picture of a finished stage.
    """
    run = client.run(salted(cascade_prompt(steps=steps), 10 + steps))
    assert run.outcome == "success", run.error
    values = [value for value, _ in run.progress("10")]
    assert values == sorted(values)
    expected = [*range(1, base + 1), *(base + COST * n for n in range(1, later + 1))]
    assert sorted(set(values)) == expected
    assert {maximum for _, maximum in run.progress("10")} == {expected[-1]}


def test_cancel_in_stage_1_ends_the_run_and_leaves_nothing_patched(client: ComfyClient) -> None:
    before = pixels(client, client.run(salted(cascade_prompt(), 3)), "11")

    cancelled = client.run(
        salted(cascade_prompt(steps=20), 4), on_message=cancel_at(client, step=20 + 3 * COST)
    )
    assert cancelled.outcome == "interrupted"
    assert 20 < cancelled.progress("10")[-1][0] < 20 + 14 * COST

    after = client.run(salted(cascade_prompt(), 5))
    assert "10" in after.started_nodes  # and not out of the cache
    assert "5" not in after.started_nodes  # the MODEL is the one that was cancelled
    assert np.array_equal(pixels(client, after, "11"), before)


def test_a_plain_sampler_draws_the_same_after_freescale_as_before(
    client: ComfyClient, untouched_picture: np.ndarray
) -> None:
    assert client.run(salted(cascade_prompt(), 6)).outcome == "success"
    run = client.run(salted(plain_prompt(), 7))
    assert "7" in run.started_nodes
    assert np.array_equal(pixels(client, run, "9"), untouched_picture)


def test_two_workflows_in_turn_on_one_checkpoint_do_not_see_each_other(client: ComfyClient) -> None:
    small = changed(changed(cascade_prompt(), "6", width=64, height=64), "5", base_width=64, base_height=64)
    workflows = [small, changed(small, "5", speed="Balanced", alpha=2.0)]
    one, two, one_again, two_again = (
        pixels(client, client.run(salted(workflow, salt)), "11") for salt in (8, 9) for workflow in workflows
    )
    assert np.array_equal(one, one_again) and np.array_equal(two, two_again)
    assert not np.array_equal(one, two)


def cancel_at(client: ComfyClient, step: int) -> Callable[[str, dict], None]:
    """Presses Cancel once, as soon as the cascade reports `step`."""
    presses = itertools.count()

    def on_message(kind: str, data: dict) -> None:
        if kind == "progress" and data["node"] == "10" and data["value"] >= step and next(presses) == 0:
            client.interrupt()

    return on_message


def test_a_client_without_a_page_is_told_again_what_was_cached(client: ComfyClient) -> None:
    """freescale_batch sends prompts so. Without a client_id ComfyUI 0.3.75 tells it to nobody."""
    prompt = salted(plain_prompt(side=64), 11)
    first, again = (outputs_of(client, {"prompt": prompt, "client_id": "no page"}) for _ in range(2))
    assert first and again == first


def outputs_of(client: ComfyClient, message: dict) -> dict:
    number = client.post("/prompt", message).json()["prompt_id"]
    deadline = time.monotonic() + 60
    while not (entry := client.get(f"/history/{number}")) and time.monotonic() < deadline:
        time.sleep(0.1)
    return entry[number]["outputs"]
