"""A sampler that detail control refuses is told before anything runs, where the prompt alone tells it."""

import asyncio
import contextvars

import pytest
from freescale_pack.nodes.host.prompt_graph import note_queued, queued, upstream
from freescale_pack.nodes.sampler_check import sampler_problem

PROMPT = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "x"}},
    "5": {"class_type": "FreeScaleModelPatch", "inputs": {"model": ["1", 0]}},
    "10": {"class_type": "FreeScaleCascade", "inputs": {"model": ["5", 0], "sampler_name": "uni_pc"}},
}


def detail(enabled):
    return {"class_type": "FreeScaleDetailControl", "inputs": {"model": ["5", 0], "enabled": enabled}}


def prompt(nodes=None, **inputs):
    """PROMPT with further nodes and other inputs of the cascade."""
    cascade = {"class_type": "FreeScaleCascade", "inputs": PROMPT["10"]["inputs"] | inputs}
    return PROMPT | {"10": cascade} | (nodes or {})


def plan(later):
    return {"7": {"class_type": "FreeScalePlan", "inputs": {"later_sampler": later}}}


PART = {"6": {"class_type": "FreeScaleScaleFusion", "inputs": {"model": ["1", 0]}}}
ROPE = {"6": {"class_type": "FreeScaleRoPE", "inputs": {"model": ["1", 0]}}}
OVERRIDE = {"8": {"class_type": "FreeScaleStageOverride", "inputs": {"model": ["6", 0], "from_stage": 2}}}
OTHER = {"9": {"class_type": "AnotherNode", "inputs": {"model": ["6", 0]}}}


@pytest.mark.parametrize(
    ("asked", "is_told"),
    [
        (prompt(), True),
        (prompt(model=["1", 0]), True),
        (prompt(sampler_name="euler"), False),
        (prompt(sampler_name="nobody_knows_it"), False),
        (prompt(sampler_name=["3", 0]), False),
        (prompt(plan("as in stage 0"), plan=["7", 0]), True),
        (prompt(plan("dpmpp_2m"), plan=["7", 0]), False),
        (prompt(plan("sa_solver"), plan=["7", 0], sampler_name="euler"), True),
        (prompt(plan(["3", 0]), plan=["7", 0]), False),
        (prompt(plan=["1", 0]), False),
        (prompt({"6": detail(True)}, model=["6", 0]), True),
        (prompt({"6": detail(False)}, model=["6", 0]), False),
        (prompt({"6": detail(["3", 0])}, model=["6", 0]), False),
        (prompt(PART, model=["6", 0]), False),
        (prompt(ROPE, model=["6", 0]), False),
        (prompt(PART | OTHER, model=["9", 0]), False),
        (prompt({"6": detail(False)} | OVERRIDE, overrides=["8", 0]), False),
    ],
)
def test_what_is_told(asked, is_told):
    problem = sampler_problem(asked, "10")
    assert (problem is not None) == is_told
    assert problem is None or "FreeScale detail control cannot work with the sampler " in problem


def test_without_a_prompt_nothing_is_told():
    assert sampler_problem({}, "10") is None
    assert sampler_problem(PROMPT, None) is None
    assert contextvars.Context().run(queued) == {}


def test_each_request_sees_its_own_prompt():
    async def request(prompt):
        assert note_queued({"prompt": prompt}) == {"prompt": prompt}
        await asyncio.sleep(0)
        return queued()

    async def both():
        return await asyncio.gather(request({"1": "a"}), request({"2": "b"}), request("no prompt"))

    assert asyncio.run(both()) == [{"1": "a"}, {"2": "b"}, {}]


def test_nodes_upstream_come_once_and_a_circle_ends():
    circle = {
        "1": {"class_type": "A", "inputs": {"x": ["2", 0], "y": ["2", 1]}},
        "2": {"class_type": "B", "inputs": {"x": ["1", 0], "y": ["77", 0], "z": [1.0, 2.0]}},
    }
    assert sorted(upstream(circle, [["1", 0], 3.0, None])) == ["1", "2"]
