"""The drawings tell the sizes of their templates."""

import json
import math

import pytest

from tools.harness.workflow import API_PROMPTS
from tools.pictures.drawn_thumbnails import DRAWN, FRAMES, drawing
from tools.pictures.thumbnails import SIDE

MULTIPLE = 16
"""Pixels: sides of a transformer's image are whole tokens."""


@pytest.mark.parametrize("name", DRAWN)
def test_a_drawing_tells_the_sizes_of_its_template(name):
    nodes = json.loads((API_PROMPTS / f"{name}.json").read_text(encoding="utf-8")).values()
    sized = [node["inputs"] for node in nodes if {"width", "height"} <= node["inputs"].keys()]
    base = min((inputs["width"], inputs["height"]) for inputs in sized)
    (factor,) = {
        node["inputs"][key] for node in nodes for key in ("factor", "scale_by") if key in node["inputs"]
    }
    target = tuple(MULTIPLE * math.floor(side * factor / MULTIPLE + 0.5) for side in base)
    assert (DRAWN[name].base, DRAWN[name].target) == (base, target)
    assert DRAWN[name].frames == (FRAMES if "video" in name else 1)
    assert drawing(DRAWN[name]).size == (SIDE, SIDE)
