"""A slice of the campaigns that need a server, and that each finds what is broken."""

import random
from typing import Any

import pytest

from tools.campaign import concurrency, soak, wiring
from tools.campaign.concurrency import Sent
from tools.harness.comfy_client import ComfyClient

PROMPTS, GRAPHS = 8, 14


def test_a_row_of_prompts_ends_as_it_should_and_is_counted(client: ComfyClient) -> None:
    """Whether they leak is for a longer row to say: python3 dev.py campaign soak."""
    counts, broken = soak.measured(client, random.Random(1), PROMPTS)
    assert broken == []
    assert counts.keys() == soak.BOUNDS.keys()
    assert {len(counts[quantity]) for quantity in counts.keys() - {"latency"}} == {PROMPTS}


def test_two_clients_get_what_they_asked_for(client: ComfyClient) -> None:
    result = concurrency.crowded(client, random.Random(1), prompts=5)
    assert (result.found, result.subject) == (None, "10 prompts")


@pytest.mark.parametrize(
    ("acts", "ending", "pixels", "said"),
    [
        (set(), "finished", b"one", None),
        ({"interrupt"}, "finished", b"one", None),
        ({"interrupt"}, "interrupted", None, None),
        ({"clear", "send more"}, "removed", None, None),
        (set(), "finished", b"another", "workflow 0 after [] gave another image"),
        ({"delete"}, "interrupted", None, "workflow 0 after ['delete'] ended as interrupted"),
        (set(), "removed", None, "ended as removed"),
        ({"interrupt"}, "error", None, "ended as error"),
    ],
)
def test_the_concurrency_finds_a_prompt_that_ends_otherwise(
    acts: set[str], ending: str, pixels: bytes | None, said: str | None
) -> None:
    found = concurrency.problems(Sent("id", 0, acts, ending, pixels), {0: b"one"})
    assert len(found) == (said is not None) and all(said in text for text in found)


def test_the_workflows_of_the_concurrency_differ_in_their_images(client: ComfyClient) -> None:
    images = concurrency.alone(client.address)
    assert len(set(images.values())) == len(images) == 4


def test_random_graphs_are_refused_or_end_with_an_image_or_a_sentence(client: ComfyClient) -> None:
    info = wiring.known_nodes(client.address)
    results = [wiring.wired(client, wiring.random_graph(random.Random(n), info)) for n in range(GRAPHS)]
    assert [result.found for result in results if result.found] == []
    assert "finished" in {result.ending for result in results}


def failed(**other: Any) -> dict[str, Any]:
    """An execution_error of a node of the pack with a clear sentence, but for some of its parts."""
    sentence = "FreeScale Plan expects a, got b: choose a."
    return {
        "node_type": "FreeScalePlan",
        "exception_type": "ValueError",
        "exception_message": sentence,
        "traceback": ['File "ComfyUI/custom_nodes/ComfyUI-FreeScale/nodes/plan_node.py", line 9, in execute'],
    } | other


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (failed(), None),
        (failed(exception_type="TypeError"), "TypeError in FreeScalePlan"),
        (failed(exception_message="shapes differ"), "ValueError in FreeScalePlan: shapes differ"),
        (failed(node_type="KSampler"), None),
        (failed(node_type="KSampler", exception_type="AttributeError"), "AttributeError in KSampler"),
        (failed(node_type="KSampler", exception_type="TypeError", traceback=["execution.py"]), None),
    ],
)
def test_the_wiring_finds_an_error_of_the_packs_own_that_is_no_sentence(
    error: dict[str, Any], said: str | None
) -> None:
    found = wiring.error_problem(error)
    assert (found is None) == (said is None) and (said or "") in str(found)


def refused(details: str, kind: str = "custom_validation_failed") -> dict[str, Any]:
    errors = [{"type": kind, "details": details}]
    return {
        "error": {"message": "no"},
        "node_errors": {"3": {"class_type": "FreeScalePlan", "errors": errors}},
    }


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (200, {"prompt_id": "1", "node_errors": {}}, None),
        (400, refused("input_types - FreeScale Plan expects a, got b: choose a."), None),
        (400, refused("steps", "value_not_in_list"), None),
        (400, refused("KeyError"), "an unclear sentence: KeyError"),
        (400, {"error": {"message": ""}}, "gave 400 without a sentence"),
        (500, {}, "gave 500"),
    ],
)
def test_the_wiring_finds_an_answer_that_is_no_sentence(
    status: int, answer: dict[str, Any], said: str | None
) -> None:
    assert wiring.answer_problem(status, answer) == said
