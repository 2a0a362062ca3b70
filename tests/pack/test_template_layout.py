"""How the templates are laid out: tidy, and legible as soon as the page opens one."""

import itertools
import json

import pytest

from tools import ROOT

FILES = sorted((ROOT / "workflows").glob("*.json"))
TITLE = 30
"""Height of a node's title bar, which lies above its position."""

templates = pytest.mark.parametrize("template", FILES, ids=lambda file: file.stem)


def load(file):
    return json.loads(file.read_text(encoding="utf-8"))


@templates
def test_no_node_lies_on_another_and_each_but_the_notes_is_in_one_group(template):
    graph = load(template)
    boxes = {node["id"]: box(node) for node in graph["nodes"]}
    assert [
        pair for pair in itertools.combinations(boxes, 2) if overlap(boxes[pair[0]], boxes[pair[1]])
    ] == []
    groups = [(x, y, x + w, y + h) for x, y, w, h in (group["bounding"] for group in graph["groups"])]
    assert not any(overlap(*pair) for pair in itertools.combinations(groups, 2))
    for node in graph["nodes"]:
        around = [group for group in groups if inside(boxes[node["id"]], group)]
        assert len(around) == (node["type"] != "MarkdownNote"), node["type"]


def box(node):
    (x, y), (w, h) = node["pos"], node["size"]
    return x, y - TITLE, x + w, y + h * (not node["flags"].get("collapsed"))


def overlap(one, other):
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def inside(one, other):
    return other[0] <= one[0] and other[1] <= one[1] and one[2] <= other[2] and one[3] <= other[3]


SCREEN = (1366, 768)
FITTED = 0.75
"""The share of the screen that the page gives to a graph when it opens a template."""
MARGIN = 20
BARS = (60, 80)
"""Side bar and tabs of the page, left and above of the canvas."""
SHOWN = 350
"""So much of the first group must be on the screen, to the right and downwards."""
LEGIBLE = 8 / 14
"""Below this zoom the classic renderer leaves out all text: 14 px become less than 8."""


@templates
def test_a_template_opens_legible_on_a_small_screen(template):
    corners = [(x, y - TITLE, x + w, y + h) for (x, y), (w, h) in places(load(template))]
    lefts, tops, rights, bottoms = zip(*corners, strict=True)
    extents = (max(rights) - min(lefts), max(bottoms) - min(tops))
    zooms = [FITTED * side / (extent + MARGIN) for side, extent in zip(SCREEN, extents, strict=True)]
    assert min(zooms) >= LEGIBLE


@templates
def test_the_stored_view_shows_the_first_notes_and_nodes(template):
    """Where the page opens a file as it was saved: what is in the upper left corner is on the screen."""
    graph = load(template)
    view = graph["extra"]["ds"]
    x, y = view["offset"]
    left, top, _, _ = graph["groups"][0]["bounding"]
    first = ((left + x + SHOWN) * view["scale"], (top + y + SHOWN) * view["scale"])
    assert view["scale"] >= LEGIBLE
    assert x * view["scale"] >= BARS[0] and y * view["scale"] >= BARS[1]
    assert first[0] <= SCREEN[0] and first[1] <= SCREEN[1]


BACKGROUNDS = ("#141414", "#d3d3d3")
"""The canvas of the dark and of the light theme."""
TINT = 0.25
"""How much of its own colour the page lays under a group's title."""


@templates
def test_group_titles_can_be_read_in_both_themes(template):
    for group in load(template)["groups"]:
        text = channels(group["color"])
        for background in map(channels, BACKGROUNDS):
            under = [TINT * one + (1 - TINT) * other for one, other in zip(text, background, strict=True)]
            assert contrast(text, under) >= 2, group["title"]


def places(graph):
    return [(node["pos"], node["size"]) for node in graph["nodes"]]


def channels(colour):
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def contrast(one, other):
    """As the WCAG define it, 1 to 21."""
    darker, lighter = sorted(map(luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour):
    linear = [((c / 255 + 0.055) / 1.055) ** 2.4 if c > 10 else c / 255 / 12.92 for c in colour]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
