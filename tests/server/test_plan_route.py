"""GET /freescale/plan, which the web page asks for the drawing in FreeScale Plan."""

import pytest
import requests

from tools.harness.comfy_client import ComfyClient

PATH = "/freescale/plan"


@pytest.mark.parametrize("prefix", ["", "/api"])
def test_a_plan_in_numbers(client: ComfyClient, prefix: str) -> None:
    plan = client.get(f"{prefix}{PATH}?factor=4.0&restart=0.5&later_sampler=dpmpp_2m")
    assert [(stage["size"], stage["windows"]) for stage in plan["stages"]] == [
        ([1024, 1024], 1),
        ([2048, 2048], 9),
        ([4096, 4096], 49),
    ]
    assert [stage["freeu_gib"] for stage in plan["stages"]] == pytest.approx([0.215, 0.859, 3.438], abs=0.001)
    assert plan["restart_timestep"] == 481
    assert plan["settings"] == [
        "Each stage enlarges the image before it (bicubic) and does the last 50% of the sampling again; "
        "VAE in tiles: auto.",
        "Stages above the base take: dpmpp_2m.",
    ]
    assert [curve["alpha"] for curve in plan["curves"]] == [0.5, 1.0, 2.0, 3.0]
    c = dict(plan["curves"][2]["points"])
    assert (c[1000], c[500], c[0]) == pytest.approx((1.0, 0.25, 0.0))


@pytest.mark.parametrize(
    ("query", "base", "last"),
    [
        ("", [1024, 1024], [2048, 2048]),
        ("target=megapixels&megapixels=9", [1024, 1024], [3072, 3072]),
        (
            "target=width x height&base_width=0&base_height=0&width=3840&height=2160",
            [768, 1344],
            [2160, 3840],
        ),
        ("target=list of factors&factors=1.5, 3", [1024, 1024], [3072, 3072]),
    ],
)
def test_every_kind_of_target(client: ComfyClient, query: str, base: list[int], last: list[int]) -> None:
    plan = client.get(f"{PATH}?{query}")
    assert (plan["stages"][0]["size"], plan["stages"][-1]["size"]) == (base, last)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("factor=99", "FreeScale Plan expects factor from 1.1 to 16.0, got 99: choose a number in between."),
        (
            "factor=nan",
            "FreeScale Plan expects factor from 1.1 to 16.0, got nan: choose a number in between.",
        ),
        (
            "width=2048.5",
            "FreeScale Plan expects width from 64 to 16384, got 2048.5: choose a whole number in between.",
        ),
        (
            "target=area",
            "FreeScale Plan expects one of factor, megapixels, width x height, list of factors, got area: "
            "choose one of the list.",
        ),
        (
            "base_width=0",
            "FreeScale expects both sides of the base size or neither, got 0x1024: set both, or both to 0.",
        ),
        (
            "target=list of factors&factors=2, x",
            'FreeScale plan: expected factors from 1.1 to 16.0 such as "2, 4", got "2, x": '
            "separate them by commas",
        ),
        (
            "base_width=8&base_height=8",
            "FreeScale plan: expected a base size of at least 64x64 pixels, got 8x8: set the size the model "
            "was trained for",
        ),
        (
            "base_width=4096&base_height=4096&factor=16",
            "FreeScale plan: expected at most 16384 pixels a side, got 65536x65536: choose a smaller target "
            "or factor",
        ),
    ],
)
def test_a_bad_query_gets_400_and_one_sentence(client: ComfyClient, query: str, sentence: str) -> None:
    with pytest.raises(requests.HTTPError) as error:
        client.get(f"{PATH}?{query}")
    assert error.value.response.status_code == 400
    assert error.value.response.json() == {"error": sentence}


@pytest.mark.parametrize(
    "query",
    [
        f"factor={'1' * 3000}",
        f"width={'9' * 5000}",
        f"target={'x' * 3000}",
        f"target=list of factors&factors={'2, ' * 1000}",
        f"target=list of factors&factors={', '.join(['2'] * 1000)}",
        f"linked={'factor,' * 1000}",
        f"linked={'tiling,' * 1000}",
    ],
)
def test_a_long_query_gets_a_short_answer(client: ComfyClient, query: str) -> None:
    try:
        answer = client.get(f"{PATH}?{query}")
    except requests.HTTPError as error:
        answer = error.response.json()
    texts = [answer.get("error", ""), answer.get("message", ""), *answer.get("settings", [])]
    assert 0 < max(map(len, texts)) < 200


@pytest.mark.parametrize(
    ("linked", "named"),
    [("factor", "factor"), ("target,width", "target"), ("upscale_model,base_width", "base_width")],
)
def test_a_linked_number_is_said_to_be_unknown(client: ComfyClient, linked: str, named: str) -> None:
    message = f"The stages are known once the workflow runs: {named} comes from another node."
    assert client.get(f"{PATH}?linked={linked}") == {"message": message}


def test_a_page_in_chinese_gets_chinese(client: ComfyClient) -> None:
    plan = client.get(f"{PATH}?language=zh")
    assert plan["heading"] == "2048 × 2048，在基础图像之上经过一个阶段"
    with pytest.raises(requests.HTTPError) as error:
        client.get(f"{PATH}?language=zh&factor=99")
    assert error.value.response.json()["error"].startswith("FreeScale 计划：factor 应在 1.1 到 16.0 之间")


def test_a_linked_setting_leaves_the_numbers(client: ComfyClient) -> None:
    plan = client.get(f"{PATH}?linked=upscale_model,tiling,width")
    assert plan["stages"][-1]["size"] == [2048, 2048]
    assert "enlarges the image before it (by an upscale model)" in plan["settings"][0]
    assert plan["settings"][-1] == "Shown with the default, as the value comes from another node: tiling"


FROM_ELSEWHERE = (
    {"Origin": "http://evil.example"},
    {"Origin": "http://evil.example", "Host": "evil.example"},
    {"Origin": "http://localhost:1"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.example", "Host": "127.0.0.1"},
)


@pytest.mark.parametrize("headers", FROM_ELSEWHERE)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_another_site_gets_from_it_what_it_gets_from_comfyui(
    client: ComfyClient, method: str, headers: dict[str, str]
) -> None:
    """The status, and leave for the browser to hand the answer to that site."""

    def answer(path: str) -> tuple[int, dict[str, str]]:
        got = requests.request(method, f"http://{client.address}{path}", headers=headers, timeout=30)
        shared = {name: value for name, value in got.headers.items() if name.startswith("Access-Control-")}
        return got.status_code, shared

    for prefix in ("", "/api"):
        assert answer(prefix + PATH) == answer(prefix + "/system_stats")


def test_some_requests_of_other_sites_are_refused(client: ComfyClient) -> None:
    """So that the comparison above compares something."""
    headers = {"Origin": "http://evil.example"}
    assert requests.get(f"http://{client.address}{PATH}", headers=headers, timeout=30).status_code == 403
    assert requests.get(f"http://{client.address}{PATH}", timeout=30).status_code == 200
