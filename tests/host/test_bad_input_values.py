"""What a node refuses when it looks into its inputs: one sentence (expected, got, what to do), before any
model runs."""

import math
import re

import numpy as np
import pytest
import torch
from comfy_api.latest import io
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.planning.plan import CascadePlan
from freescale_pack.nodes import input_checks, upscale_node
from freescale_pack.nodes.cascade import run as cascade_module
from freescale_pack.nodes.cascade_node import FreeScaleCascade
from freescale_pack.nodes.model_patch_node import FreeScaleModelPatch
from freescale_pack.nodes.part_nodes import (
    FreeScaleDetailControl,
    FreeScaleDilatedConv,
    FreeScaleRoPE,
    FreeScaleScaleFusion,
)
from freescale_pack.nodes.plan_node import FreeScalePlan
from freescale_pack.nodes.region_nodes import FreeScaleDetailRegion, FreeScalePromptRegion
from freescale_pack.nodes.stage_override_node import FreeScaleStageOverride
from freescale_pack.nodes.upscale_node import FreeScaleUpscale

from tools.harness.demo_checkpoint import conditioning, demo_checkpoint
from tools.harness.tiny_transformers import TinyVae

from .cascades import BASE, cascade, empty, patched
from .test_plan_node import plan

SENTENCE = re.compile(r"FreeScale [^.\n]* expect(s|ed) .*, got .*: .*")
CELLS = BASE // 8
IMAGE = torch.zeros(1, BASE, BASE, 3)
MASK = torch.zeros(1, BASE, BASE)


def with_one(tensor, value):
    """A copy with one bad value in its last place."""
    tensor = tensor.clone()
    tensor.view(-1)[-1] = float(value)
    return tensor


def latent(samples=None, **more):
    return {"samples": torch.ones(1, 4, CELLS, CELLS) if samples is None else samples, **more}


BAD_LATENTS = {
    "NaN": (latent(with_one(empty()["samples"], "nan")), "a latent of finite numbers, got NaN"),
    "infinity": (latent(with_one(empty()["samples"], "inf")), "a latent of finite numbers, got infinity"),
    "minus infinity": (
        latent(with_one(empty()["samples"], "-inf")),
        "a latent of finite numbers, got infinity",
    ),
    "half precision": (
        latent(with_one(torch.ones(1, 4, CELLS, CELLS).half(), "nan")),
        "a latent of finite numbers, got NaN",
    ),
    "no batch": (latent(torch.zeros(0, 4, CELLS, CELLS)), "got shape (0, 4, 16, 16) of torch.float32"),
    "no height": (latent(torch.zeros(1, 4, 0, CELLS)), "got shape (1, 4, 0, 16) of torch.float32"),
    "three axes": (latent(torch.zeros(4, CELLS, CELLS)), "got shape (4, 16, 16) of torch.float32"),
    "five axes": (
        latent(torch.ones(1, 4, 1, CELLS, CELLS)),
        "got shape (1, 4, 1, 16, 16) of torch.float32: for a video take Empty Latent Image with batch size",
    ),
    "whole numbers": (
        latent(torch.ones(1, 4, CELLS, CELLS, dtype=torch.int64)),
        "got shape (1, 4, 16, 16) of torch.int64",
    ),
    "an image": (
        IMAGE,
        "expects a latent of shape (images, channels, height, width) with floating-point values, got shape",
    ),
    "audio": ({"waveform": torch.zeros(1, 2, 100)}, "got NoneType: connect one of an image model"),
    "text": ("latent", "got str: connect one of an image model"),
    "channels": (latent(torch.ones(1, 16, CELLS, CELLS)), "expects a latent with 4 channels, got 16"),
    "NaN in the noise mask": (
        latent(noise_mask=with_one(MASK, "nan")),
        "a noise mask of finite numbers, got NaN",
    ),
    "an empty noise mask": (
        latent(noise_mask=torch.zeros(1, 0, 8)),
        "a noise mask that is not empty, got shape (1, 0, 8)",
    ),
}
BAD_IMAGES = {
    "NaN": (with_one(IMAGE, "nan"), "an image of finite numbers, got NaN"),
    "infinity": (with_one(IMAGE, "-inf"), "an image of finite numbers, got infinity"),
    "one channel": (IMAGE[..., :1], "got shape (1, 128, 128, 1) of torch.float32: connect an RGB image"),
    "one image of one channel": (
        IMAGE[0, ..., :1],
        "got shape (128, 128, 1) of torch.float32: connect an RGB image",
    ),
    "three axes": (IMAGE[0], "got shape (128, 128, 3) of torch.float32"),
    "channels first": (IMAGE.movedim(-1, 1), "got shape (1, 3, 128, 128) of torch.float32"),
    "five channels": (torch.zeros(1, 8, 8, 5), "got shape (1, 8, 8, 5) of torch.float32"),
    "no batch": (IMAGE[:0], "got shape (0, 128, 128, 3) of torch.float32"),
    "no width": (IMAGE[:, :, :0], "got shape (1, 128, 0, 3) of torch.float32"),
    "bytes": (IMAGE.byte(), "got shape (1, 128, 128, 3) of torch.uint8"),
    "a list": ([IMAGE], "got list: connect an RGB image"),
}
BAD_MASKS = {
    "NaN": (with_one(MASK, "nan"), "a mask of finite numbers, got NaN"),
    "infinity": (with_one(MASK, "inf"), "a mask of finite numbers, got infinity"),
    "no batch": (MASK[:0], "got shape (0, 128, 128) of torch.float32"),
    "four axes": (MASK[None], "got shape (1, 1, 128, 128) of torch.float32"),
    "bytes": (MASK.byte(), "got shape (1, 128, 128) of torch.uint8"),
    "an image's text": ("mask", "got str"),
}


@pytest.fixture
def no_model_runs(monkeypatch):
    """Fails where a UNet or a VAE is about to run."""

    def runs(*args, **kwargs):
        raise AssertionError("a model ran")

    for module in (cascade_module, upscale_node):
        for name in ("sample", "decode", "encode", "resize"):
            monkeypatch.setattr(module, name, runs, raising=False)


def sentence_of(call):
    with pytest.raises(ValueError) as error:
        call()
    assert SENTENCE.fullmatch(str(error.value))
    return str(error.value)


def run_cascade(factor=2.0, **start):
    model, _, vae = demo_checkpoint()
    return cascade(patched(model), (conditioning("red apple"), conditioning("")), vae, factor=factor, **start)


def run_upscale(factor=2.0, width=0, height=0, **start):
    return FreeScaleUpscale.execute(
        demo_checkpoint()[2], factor, width, height, "bicubic", "off", **start
    ).result


@pytest.mark.usefixtures("no_model_runs")
@pytest.mark.parametrize("case", BAD_LATENTS)
def test_a_bad_latent_is_refused(case):
    bad, fragment = BAD_LATENTS[case]
    assert fragment in sentence_of(lambda: run_cascade(latent=bad))
    assert fragment in sentence_of(lambda: run_upscale(samples=bad))


@pytest.mark.usefixtures("no_model_runs")
@pytest.mark.parametrize("case", BAD_IMAGES)
def test_a_bad_image_is_refused(case):
    bad, fragment = BAD_IMAGES[case]
    assert fragment in sentence_of(lambda: run_cascade(image=bad))
    assert fragment in sentence_of(lambda: run_upscale(image=bad))


@pytest.mark.parametrize("case", BAD_MASKS)
def test_a_bad_mask_is_refused(case):
    bad, fragment = BAD_MASKS[case]
    assert fragment in sentence_of(lambda: FreeScaleDetailRegion.execute(bad, 3.0, 0.05, False))
    assert fragment in sentence_of(lambda: FreeScalePromptRegion.execute(conditioning("red apple"), bad, 1.0))


@pytest.mark.usefixtures("no_model_runs")
@pytest.mark.parametrize(
    ("call", "limit"),
    [
        (
            lambda: plan(base_width=4096, base_height=4096, factor=16.0),
            "at most 16384 pixels a side, got 65536x65536",
        ),
        (
            lambda: plan(base_width=4096, base_height=64, factor=8.0),
            "at most 16384 pixels a side, got 32768x512",
        ),
        (
            lambda: plan(target="list of factors", base_width=2048, base_height=2048, factors="2, 16"),
            "at most 16384 pixels a side",
        ),
        (lambda: plan(base_width=8, base_height=8), "a base size of at least 64x64 pixels, got 8x8"),
        (lambda: plan(base_width=1024, base_height=56), "a base size of at least 64x64 pixels, got 1024x56"),
        (
            lambda: run_cascade(16.0, image=torch.zeros(1, 1032, 64, 3)),
            "at most 16384 pixels a side, got 1024x16512",
        ),
        (
            lambda: run_cascade(16.0, latent=latent(torch.ones(1, 4, 129, 8))),
            "at most 16384 pixels a side, got 1024x16512",
        ),
        (
            lambda: run_upscale(16.0, image=torch.zeros(1, 1032, 64, 3)),
            "at most 16384 pixels a side, got 1024x16512",
        ),
        (
            lambda: run_upscale(16.0, samples=latent(torch.ones(1, 4, 129, 8))),
            "at most 16384 pixels a side, got 1024x16512",
        ),
        (
            lambda: run_upscale(width=64, height=16392, image=IMAGE),
            "expects height from 0 to 16384, got 16392",
        ),
        (
            lambda: patched(demo_checkpoint()[0], base_width=56),
            "a base size of at least 64x64 pixels, got 56x128",
        ),
    ],
)
def test_a_size_beyond_a_limit_is_refused_and_the_limit_named(call, limit):
    assert limit in sentence_of(call)


@pytest.mark.usefixtures("no_model_runs")
@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0, 0.0])
def test_a_number_from_another_node_that_no_widget_would_take_is_refused(value):
    calls = [
        (lambda: run_cascade(value, image=IMAGE), "factor"),
        (lambda: run_upscale(value, image=IMAGE), "factor"),
    ]
    calls += [
        (lambda name=name: plan(**{name: value}), name)
        for name in ("factor", "megapixels", "width", "height")
    ]
    for call, name in calls:
        assert re.search(
            f"expects {name} from .* to .*, got {value}: choose a (whole )?number in between",
            sentence_of(call),
        )


def links_of(node):
    """What the inputs of a node take from other nodes, all of it good."""
    model, _, vae = demo_checkpoint()
    text = conditioning("red apple")
    good = {
        "model": model,
        "positive": text,
        "negative": text,
        "conditioning": text,
        "vae": vae,
        "mask": MASK,
        "image": IMAGE,
    }
    return {i.id: good[i.id] for i in node.define_schema().inputs if i.id in good}


def run_node(node, **changes):
    """Any node with its widgets' defaults, apart from the changes."""
    widgets = {i.id: i.default for i in node.define_schema().inputs if isinstance(i, io.WidgetInput)}
    return node.execute(**{**widgets, **links_of(node), **changes})


NODES = [
    FreeScaleCascade,
    FreeScaleStageOverride,
    FreeScaleModelPatch,
    FreeScaleScaleFusion,
    FreeScaleDilatedConv,
    FreeScaleDetailControl,
    FreeScaleDetailRegion,
    FreeScalePromptRegion,
    FreeScalePlan,
    FreeScaleUpscale,
]
WIDGET_NODES = [*NODES, FreeScaleRoPE]
"""FreeScale RoPE takes no UNet, so that it is told apart from those that run with the demo model."""
BAD_VALUES = {
    io.Int.Input: [None, "7", True, math.nan, 2.5, 64.0, 2**65, -8, torch.ones(1)],
    io.Float.Input: [None, "7", True, math.nan, math.inf, -8.0, 1e9, torch.ones(1)],
    io.Combo.Input: [None, "no such choice", 1, []],
    io.String.Input: [None, 2.0, []],
}
ADVICE = {
    io.Int.Input: "choose a whole number in between",
    io.Float.Input: "choose a number in between",
    io.Combo.Input: "choose one of the list",
    io.String.Input: "connect a text",
}
WIDGETS = [(node, i) for node in WIDGET_NODES for i in node.define_schema().inputs if type(i) in BAD_VALUES]


@pytest.mark.usefixtures("no_model_runs")
@pytest.mark.parametrize(
    ("node", "widget"), WIDGETS, ids=[f"{node.__name__}-{widget.id}" for node, widget in WIDGETS]
)
def test_every_widget_refuses_what_another_node_must_not_give(node, widget):
    for value in BAD_VALUES[type(widget)]:
        said = sentence_of(lambda value=value: run_node(node, **{widget.id: value}))
        assert said.startswith(f"{node.define_schema().display_name} expects ")
        assert said.endswith(f": {ADVICE[type(widget)]}.")
        assert widget.id in said or isinstance(widget, io.Combo.Input)


@pytest.mark.usefixtures("no_model_runs")
@pytest.mark.parametrize(
    ("node", "name", "value", "said"),
    [
        (FreeScaleCascade, "model", None, "expects a MODEL for model, got none: connect one"),
        (FreeScaleCascade, "positive", None, "expects a CONDITIONING for positive, got none: connect one"),
        (FreeScaleCascade, "positive", [], "expects a CONDITIONING for positive, got none: connect one"),
        (FreeScaleCascade, "negative", None, "expects a CONDITIONING for negative, got none: connect one"),
        (FreeScaleModelPatch, "model", None, "expects a MODEL for model, got none: connect one"),
        (FreeScaleScaleFusion, "model", None, "expects a MODEL for model, got none: connect one"),
        (FreeScaleDilatedConv, "model", None, "expects a MODEL for model, got none: connect one"),
        (FreeScaleDetailControl, "model", None, "expects a MODEL for model, got none: connect one"),
        (FreeScalePromptRegion, "conditioning", None, "expects one text, got none: connect a text"),
        (FreeScalePromptRegion, "conditioning", [], "expects one text, got none: connect a text"),
    ],
)
def test_a_link_without_a_value_is_refused(node, name, value, said):
    assert said in sentence_of(lambda: run_node(node, **{name: value}))


@pytest.mark.parametrize(
    ("node", "names"),
    [
        (FreeScaleModelPatch, ("plan", "detail_regions", "prompt_regions")),
        (FreeScaleStageOverride, ("model", "positive", "negative", "overrides")),
        (FreeScaleDetailControl, ("detail_regions",)),
        (FreeScalePlan, ("upscale_model",)),
    ],
)
def test_none_from_a_switch_counts_as_an_optional_input_that_is_not_connected(node, names):
    assert run_node(node, **dict.fromkeys(names)).result


def test_a_cascade_takes_none_for_its_overrides_and_experts():
    model, _, vae = demo_checkpoint()
    texts = conditioning("red apple"), conditioning("")
    model = patched(model, base_width=64, base_height=64)
    nothing = dict.fromkeys(("overrides", "low_noise_model"))
    latent = cascade(model, texts, vae, factor=1.5, latent=empty(64), **nothing)[0]
    assert tuple(latent["samples"].shape) == (1, 4, 12, 12)


@pytest.mark.usefixtures("no_model_runs")
@pytest.mark.parametrize("sides", [(1, 1), (7, 200)])
def test_an_image_smaller_than_a_latent_cell_is_not_enlarged_as_a_latent(sides):
    image = torch.zeros(1, *sides, 3)
    stages = (Size(*(80 * side for side in sides)),)
    plan = CascadePlan(Size(64, 64), stages, method="latent bilinear")
    for call in (
        lambda: FreeScaleUpscale.execute(TinyVae(4), 8.0, 0, 0, "latent bilinear", "off", image=image),
        lambda: run_cascade(image=image, plan=plan),
    ):
        got = f"got {sides[1]}x{sides[0]}: choose a method for images"
        assert f"an image of at least 8x8 pixels where it is enlarged as a latent, {got}" in sentence_of(call)


@pytest.mark.usefixtures("no_model_runs")
@pytest.mark.parametrize("sides", [(100, 128), (128, 100), (128, 56), (4, 64)])
def test_a_next_stage_must_fill_latent_cells(sides):
    said = sentence_of(lambda: run_upscale(width=sides[0], height=sides[1], image=IMAGE))
    assert (
        f"the next stage in multiples of 8 pixels from 64 on, got {sides[0]}x{sides[1]}: choose such a size"
        in said
    )


@pytest.mark.parametrize("sides", [(100, 128), (128, 4)])
def test_a_window_must_fill_latent_cells(sides):
    said = sentence_of(lambda: run_node(FreeScaleScaleFusion, window_width=sides[0], window_height=sides[1]))
    assert (
        f"the window in multiples of 8 pixels from 8 on, got {sides[0]}x{sides[1]}: choose such a size"
        in said
    )


@pytest.mark.parametrize("node", NODES[1:-1])
def test_each_node_takes_its_defaults(node):
    assert run_node(node).result


def test_alpha_of_an_image_is_dropped():
    image = torch.rand(1, 64, 64, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(
        run_upscale(image=image)[0]["samples"], run_upscale(image=image[..., :3])[0]["samples"]
    )


@pytest.mark.parametrize(
    ("samples", "mask", "said"),
    [(torch.ones, MASK, True), (torch.ones, None, False), (torch.zeros, MASK, False)],
)
def test_the_log_says_that_a_finished_latent_with_a_noise_mask_is_not_inpainted(
    monkeypatch, caplog, samples, mask, said
):
    caplog.set_level("INFO", logger="FreeScale")
    monkeypatch.setattr(cascade_module, "sample", lambda stage, start, callback: start)
    monkeypatch.setattr(FreeScaleCascade, "hidden", None, raising=False)
    run_cascade(
        latent={"samples": samples(1, 4, CELLS, CELLS), **({} if mask is None else {"noise_mask": mask})}
    )
    assert caplog.text.count("counts as the finished stage 0: it is not inpainted") == said


@pytest.mark.parametrize(("width", "height"), [(64, 0), (0, 64)])
def test_one_side_alone_is_refused(width, height):
    with pytest.raises(
        ValueError, match=f"both sides of the base size or neither, got {width}x{height}: set both"
    ):
        input_checks.size_or_none(width, height, "base size")
    assert input_checks.size_or_none(0, 0, "base size") is None
    assert input_checks.size_or_none(64, 128, "base size") == Size(128, 64)


@pytest.mark.parametrize(
    ("latent", "image", "got"), [(None, None, "neither: connect one"), ({}, {}, "both: disconnect one")]
)
def test_two_starts_and_none_are_refused(latent, image, got):
    with pytest.raises(ValueError, match=f"expects either a latent or an image, got {got}"):
        input_checks.expect_one("A node", latent, image)
    input_checks.expect_one("A node", {}, None)
    input_checks.expect_one("A node", None, {})


class VaeOfACheckpoint:
    def __init__(self, network):
        self.first_stage_model = network


def test_a_vae_without_a_network_is_refused():
    for vae in (None, VaeOfACheckpoint(None)):
        with pytest.raises(ValueError, match="expects a VAE, got none: this checkpoint has none"):
            input_checks.expect_vae("A node", vae)
    input_checks.expect_vae("A node", VaeOfACheckpoint("a network"))


def test_numbers_of_numpy_and_tensors_of_8_bits_are_looked_at_like_others():
    widget = next(i for i in FreeScaleUpscale.define_schema().inputs if i.id == "width")
    input_checks.expect_number("A node", widget, np.int64(128), "128")
    for value in (np.float32(128), np.int64(-1)):
        with pytest.raises(ValueError, match="expects width from 0 to"):
            input_checks.expect_number("A node", widget, value, str(value))
    input_checks.expect_latent("A node", {"samples": torch.ones(1, 4, 8, 8).to(torch.float8_e4m3fn)})
