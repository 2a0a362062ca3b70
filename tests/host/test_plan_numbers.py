"""What GET /freescale/plan answers, without a server; tests/server/test_plan_route.py asks a running one."""

import asyncio
import json
from types import SimpleNamespace

import pytest
from freescale_pack.nodes.plan_route import _respond, plan_numbers


def asked(query):
    """Status and body of the answer."""
    answer = asyncio.run(_respond(SimpleNamespace(query=query)))
    return answer.status, json.loads(answer.body)


def test_a_plan_in_numbers():
    status, plan = asked({"factor": "4.0", "restart": "0.5", "later_sampler": "dpmpp_2m"})
    assert status == 200
    assert [(stage["size"], stage["windows"]) for stage in plan["stages"]] == [
        ([1024, 1024], 1),
        ([2048, 2048], 9),
        ([4096, 4096], 49),
    ]
    assert (plan["restart_timestep"], plan["steps"]) == (481, 50)
    assert plan["settings"] == [
        "Each stage skips 50% of the noise; images are enlarged by bicubic; VAE tiling auto",
        "Stages from 1 on: dpmpp_2m",
    ]
    # 25 of 50 calls at 54.2 and 370.9 TFLOP (fast 45.2 and 190.5) over 50 at 6.76, and the base
    assert (plan["exact"], plan["fast"], plan["direct"]) == pytest.approx((32.4, 18.4, 42.6), rel=0.01)


def test_whole_numbers_come_as_text_and_count():
    plan = plan_numbers({"base_width": "512", "base_height": "768", "later_steps": "20"})
    assert [stage["size"] for stage in plan["stages"]] == [(768, 512), (1536, 1024)]
    assert "20 steps" in plan["settings"][1]


def test_the_curves_of_four_alphas_in_steps_of_25():
    curves = plan_numbers({})["curves"]
    assert [curve["alpha"] for curve in curves] == [0.5, 1.0, 2.0, 3.0]
    assert all([t for t, _ in curve["points"]] == list(range(1000, -1, -25)) for curve in curves)
    assert [dict(curve["points"])[500] for curve in curves] == pytest.approx([0.5**0.5, 0.5, 0.25, 0.125])


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        (
            {"factor": "99"},
            "FreeScale Plan expects factor from 1.1 to 16.0, got 99: choose a number in between.",
        ),
        (
            {"factor": "1.05"},
            "FreeScale Plan expects factor from 1.1 to 16.0, got 1.05: choose a number in between.",
        ),
        (
            {"factor": "nan"},
            "FreeScale Plan expects factor from 1.1 to 16.0, got nan: choose a number in between.",
        ),
        (
            {"width": "2048.5"},
            "FreeScale Plan expects width from 64 to 16384, got 2048.5: choose a whole number in between.",
        ),
        (
            {"method": "nearest"},
            "FreeScale Plan expects one of bicubic, lanczos, latent bicubic, got nearest: choose one of the "
            "list.",
        ),
    ],
)
def test_a_bad_query_gets_400_and_one_sentence(query, sentence):
    assert asked(query) == (400, {"error": sentence})


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"linked": "factor"}, "factor"),
        ({"linked": "width,restart"}, "restart"),
        ({"linked": "upscale_model,base_width,later_steps"}, "base_width, later_steps"),
        ({"linked": "factor,width", "target": "width x height"}, "width"),
    ],
)
def test_a_linked_number_is_said_to_be_unknown(query, named):
    message = f"The stages are known once the workflow runs: {named} comes from another node."
    assert asked(query) == (200, {"message": message})


def test_a_linked_setting_leaves_the_numbers():
    plan = plan_numbers({"linked": "upscale_model,tiling,method,width"})
    assert plan["stages"][-1]["size"] == (2048, 2048)
    assert "images are enlarged by an upscale model" in plan["settings"][0]
    assert (
        plan["settings"][-1] == "Shown with the default, as the value comes from another node: tiling, method"
    )
