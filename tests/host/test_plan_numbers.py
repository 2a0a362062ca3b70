"""What GET /freescale/plan answers, without a server; tests/server/test_plan_route.py asks a running one."""

import asyncio
import json
import re
from types import SimpleNamespace

import pytest
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.nodes.patching.step_times import STEP_TIMES, BaseTime
from freescale_pack.nodes.plan_route import _respond, plan_numbers
from freescale_pack.nodes.plan_texts import duration, saying, texts_in, translated

CHINESE = re.compile(r"[\u4e00-\u9fff]")


@pytest.fixture(autouse=True)
def timed():
    """A function that notes a time; what other tests noted is forgotten, and this afterwards."""
    STEP_TIMES.clear()
    yield STEP_TIMES.note
    STEP_TIMES.clear()


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
    assert plan["heading"] == "4096 × 4096, reached in 2 stages above the base image"
    assert plan["settings"] == [
        "Each stage enlarges the image before it (bicubic) and does the last 50% of the sampling again; "
        "VAE in tiles: auto.",
        "Stages above the base take: dpmpp_2m.",
    ]
    # 25 of 50 calls at 54.2 and 370.9 TFLOP (balanced 45.2 and 190.5) over 50 at 6.76, and the base
    assert (plan["exact"], plan["balanced"], plan["direct"]) == pytest.approx((32.4, 18.4, 42.6), rel=0.01)
    shown = ["all, Exact 32.4", "all, Balanced 18.4", "all, Fast 5.3", "without FreeScale 42.6"]
    assert [f"{bar['label']} {bar['text']}" for bar in plan["bars"]] == shown


def test_whole_numbers_come_as_text_and_count():
    plan = plan_numbers({"base_width": "512", "base_height": "768", "later_steps": "20"})
    assert [stage["size"] for stage in plan["stages"]] == [(768, 512), (1536, 1024)]
    assert "20 steps" in plan["settings"][1]


def test_minutes_are_told_once_a_base_image_of_this_size_was_timed(timed):
    assert plan_numbers({})["timed"].startswith("How many minutes that is on this server is shown here after")
    timed("SD15", Size(1024, 1024), BaseTime(9.0, 30))
    timed("SDXL", Size(512, 512), BaseTime(9.0, 30))
    assert plan_numbers({})["timed"].startswith("How many")
    timed("SDXL", Size(1024, 1024), BaseTime(0.5, 30))
    plan = plan_numbers({"factor": "4.0"})
    assert plan["timed"] == "A base image takes about 15 s here (30 steps); the VAE comes on top."
    assert plan["steps"] == 30
    minutes = plan["balanced"] * 15 / 60
    assert plan["bars"][1]["text"] == f"{plan['balanced']:.1f}, about {minutes:.0f} min here"
    assert "30 steps for the base image" in plan["note"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(99.4, "99 s"), (100, "2 min"), (5999, "100 min"), (6000, "1.7 h"), (36_000, "10.0 h")],
)
def test_long_times_are_told_in_minutes_and_hours(seconds, said):
    assert duration(seconds, saying("en")) == said


def test_a_video_is_told_in_frames():
    image, video = plan_numbers({}), plan_numbers({"frames": "16"})
    assert [stage["size"] for stage in video["stages"]] == [stage["size"] for stage in image["stages"]]
    assert [bar["cost"] for bar in video["bars"]] == pytest.approx(
        [16 * bar["cost"] for bar in image["bars"]]
    )
    assert video["stages"][-1]["unet_gib"] > 2 * image["stages"][-1]["unet_gib"]
    assert video["settings"][0].startswith("A video of 16 frames: time and memory of sampling count all of")
    assert video["settings"][1:] == image["settings"]
    for language in ("zh", "ja", "ko"):
        assert "16" in plan_numbers({"frames": "16", "language": language})["settings"][0]
    linked = plan_numbers({"linked": "frames"})
    assert linked["stages"] == image["stages"]
    assert linked["settings"][-1].endswith("as the value comes from another node: frames")


def test_a_transformer_is_told_in_tokens_and_operations():
    flux = plan_numbers({"factor": "4.0", "kind": "FLUX.1, Chroma"})
    assert [(stage["size"], stage["tokens"]) for stage in flux["stages"]] == [
        ((1024, 1024), 4096),
        ((2048, 2048), 16384),
        ((4096, 4096), 65536),
    ]
    assert [stage["attention"] for stage in flux["stages"]] == pytest.approx([1, 14.6, 228.5], rel=0.01)
    assert [stage["operations"] for stage in flux["stages"]] == pytest.approx([1, 5.9, 55.9], rel=0.01)
    assert [stage["balanced"] for stage in flux["stages"]] == pytest.approx([1, 3.86, 15.28], rel=0.01)
    assert flux["stages"][0]["vae_gib"] == plan_numbers({})["stages"][0]["vae_gib"]
    assert not {"bars", "timed", "exact"} & flux.keys()
    assert flux["restart_timestep"] is None
    assert "FLUX.1, Chroma with 256 tokens of text" in flux["note"]
    assert flux["fit"].endswith("nobody has measured the memory of sampling with FLUX.1, Chroma.")
    assert flux["curves"] == plan_numbers({})["curves"]
    linked = plan_numbers({"linked": "kind", "kind": "SD3.5"})
    assert linked["stages"] == plan_numbers({})["stages"]


@pytest.mark.parametrize("language", ["en", "zh", "ja", "ko"])
def test_a_video_of_a_transformer_is_told_in_frames_of_the_latent(language):
    base = {"base_width": "1280", "base_height": "704", "factor": "1.3", "language": language}
    video = plan_numbers({**base, "frames": "81", "kind": "Wan 2.2 5B (1280x704)"})
    assert [stage["tokens"] for stage in video["stages"]] == [21 * 22 * 40, 21 * 29 * 52]
    assert [stage["vae_gib"] for stage in video["stages"]] == [None, None]
    assert video["heading"].startswith("1664 × 928")
    assert "81" in video["settings"][0] and "21" in video["settings"][0]
    assert {"tokens", "attention", "ofStage0"} <= video["labels"].keys()
    image = plan_numbers({**base, "frames": "81", "kind": "SD3.5"})
    assert image["settings"] == plan_numbers({**base, "kind": "SD3.5"})["settings"]


def test_the_curves_of_four_alphas_in_steps_of_25():
    curves = plan_numbers({})["curves"]
    assert [curve["alpha"] for curve in curves] == [0.5, 1.0, 2.0, 3.0]
    assert not any(curve["own"] for curve in curves)
    assert all([t for t, _ in curve["points"]] == list(range(1000, -1, -25)) for curve in curves)
    assert [dict(curve["points"])[500] for curve in curves] == pytest.approx([0.5**0.5, 0.5, 0.25, 0.125])


@pytest.mark.parametrize(
    ("own", "labels"),
    [
        ("0.7", ["alpha 0.5", "alpha 0.7, yours", "alpha 1", "alpha 2", "alpha 3"]),
        ("2.0", ["alpha 0.5", "alpha 1", "alpha 2, yours", "alpha 3"]),
        ("9", ["alpha 0.5", "alpha 1", "alpha 2", "alpha 3"]),
        ("nan", ["alpha 0.5", "alpha 1", "alpha 2", "alpha 3"]),
        ("<b>", ["alpha 0.5", "alpha 1", "alpha 2", "alpha 3"]),
    ],
)
def test_the_workflows_own_alpha_is_marked(own, labels):
    curves = plan_numbers({"alpha": own})["curves"]
    assert [curve["label"] for curve in curves] == labels
    assert [curve["own"] for curve in curves] == [label.endswith("yours") for label in labels]


def test_a_page_in_chinese_gets_chinese_and_one_in_another_language_english():
    chinese = plan_numbers({"language": "zh", "later_steps": "20", "linked": "tiling"})
    texts = [chinese[key] for key in ("heading", "fit", "timed", "note")]
    texts += [*chinese["settings"], *(bar["label"] for bar in chinese["bars"])]
    texts += [text for key, text in chinese["labels"].items() if key != "vae"]
    assert [text for text in texts if not CHINESE.search(text)] == []
    english = plan_numbers({})
    for language in ("fr", "../en", "", "zh/../en"):
        assert plan_numbers({"language": language}) == english


def test_another_language_changes_no_number():
    def without_texts(plan):
        words = ("heading", "fit", "bars", "timed", "settings", "note", "labels", "curves")
        return {key: value for key, value in plan.items() if key not in words}

    assert without_texts(plan_numbers({"language": "zh"})) == without_texts(plan_numbers({}))


SIDES = {"base_width": "1024", "base_height": "1024", "target": "width x height"}
REFUSED = {
    "wholeNumber": {"width": "2048.5"},
    "number": {"factor": "99"},
    "choice": {"method": "nearest"},
    "oneSide": {"base_width": "0"},
    "smallTarget": SIDES | {"width": "512", "height": "512"},
    "smallBase": {"base_width": "56", "base_height": "56"},
    "multiples": SIDES | {"width": "2049", "height": "2048"},
    "largeTarget": {"base_width": "4096", "base_height": "4096", "factor": "16"},
    "order": {"target": "list of factors", "factors": "2, 2"},
    "factors": {"target": "list of factors", "factors": "twice"},
    "restart": {"restart": "-0.5"},
}


@pytest.mark.parametrize("key", texts_in("en")["errors"])
def test_every_error_of_a_plan_is_told_in_chinese_too(key):
    """The English text of the locale is the sentence that the code raises; else nothing would be found."""
    status, english = asked(REFUSED[key])
    assert status == 400
    chinese = asked(REFUSED[key] | {"language": "zh"})[1]["error"]
    assert CHINESE.search(chinese)
    assert [n for n in re.findall(r"\d+(?:\.\d+)?", english["error"]) if n not in chinese] == []


def test_a_sentence_that_nobody_has_translated_stays():
    assert translated("Something else, got 3: choose.", "zh") == "Something else, got 3: choose."


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
            "FreeScale Plan expects one of bicubic, lanczos, latent bilinear, latent bicubic, got nearest: "
            "choose one of the list.",
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
    plan = plan_numbers({"linked": "upscale_model,tiling,method,width,frames"})
    assert plan["stages"][-1]["size"] == (2048, 2048)
    assert "enlarges the image before it (by an upscale model)" in plan["settings"][0]
    linked = "tiling, method, frames"
    said = f"Shown with the default, as the value comes from another node: {linked}"
    assert plan["settings"][-1] == said
