"""The templates as files: complete, tidy, and made of nodes that everyone has."""

import itertools
import json
import re

import pytest
from PIL import Image

from tools import ROOT

FILES = sorted((ROOT / "workflows").glob("*.json"))
OWN_NODES = {
    name
    for path in (ROOT / "nodes").glob("*.py")
    for name in re.findall(r'node_id="(\w+)"', path.read_text(encoding="utf-8"))
}
CORE_NODES = {
    "CheckpointLoaderSimple",
    "CLIPTextEncode",
    "Canny",
    "ControlNetApplyAdvanced",
    "ControlNetLoader",
    "EmptyLatentImage",
    "EmptySD3LatentImage",
    "FluxGuidance",
    "FreeU",
    "ImageScaleToMaxDimension",
    "ImageStitch",
    "KSampler",
    "KSamplerAdvanced",
    "LoadImage",
    "MarkdownNote",
    "MaskComposite",
    "PreviewImage",
    "SaveImage",
    "SolidMask",
    "UpscaleModelLoader",
    "VAEDecode",
}
"""Nodes of ComfyUI 0.3.75 that templates use; tests/server/test_templates.py holds them against the server
and runs those that are on."""
TITLE = 30
"""Height of a node's title bar, which lies above its position."""

templates = pytest.mark.parametrize("template", FILES, ids=lambda file: file.stem)


def test_these_are_the_templates():
    assert [file.stem for file in FILES] == [
        "freescale_ablation",
        "freescale_compare_direct",
        "freescale_controlnet_4k",
        "freescale_detail_regions",
        "freescale_few_step",
        "freescale_flux_to_4k",
        "freescale_image_to_image",
        "freescale_prompt_regions",
        "freescale_stage_by_stage",
        "freescale_text_to_image_2k",
        "freescale_text_to_image_4k",
        "freescale_text_to_image_8k",
    ]
    assert len({load(file)["id"] for file in FILES}) == len(FILES)


@templates
def test_a_template_has_its_picture(template):
    picture = template.with_suffix(".jpg")
    assert picture.stat().st_size <= 60_000
    with Image.open(picture) as image:
        assert (image.format, image.size) == ("JPEG", (512, 512))


@templates
def test_a_template_explains_three_knobs_in_the_graph(template):
    notes = [node["widgets_values"][0] for node in load(template)["nodes"] if node["type"] == "MarkdownNote"]
    assert "three knobs" in "\n".join(notes)


@templates
def test_a_template_has_only_known_nodes(template):
    assert {node["type"] for node in load(template)["nodes"]} <= OWN_NODES | CORE_NODES


@templates
def test_every_node_is_on_or_muted_or_bypassed(template):
    assert {node["mode"] for node in load(template)["nodes"]} <= {0, 2, 4}


def test_the_ablation_switches_each_part_off():
    values = {
        node["type"]: node["widgets_values"][0]
        for node in load(FILES[0])["nodes"]
        if "widgets_values" in node
    }
    parts = ("FreeScaleScaleFusion", "FreeScaleDilatedConv", "FreeScaleDetailControl")
    assert [values[part] for part in parts] == ["off", 1, False]


def test_freeu_is_bypassed_where_its_filter_takes_much_of_the_memory():
    """7 to 14 GiB at 8192 px (tests/core/planning/test_cost.py)."""
    (freeu,) = [
        node
        for node in load(ROOT / "workflows" / "freescale_text_to_image_8k.json")["nodes"]
        if node["type"] == "FreeU"
    ]
    assert freeu["mode"] == 4


@pytest.mark.parametrize(
    "name", ["freescale_detail_regions", "freescale_prompt_regions", "freescale_controlnet_4k"]
)
def test_the_base_picture_stays_cached_while_regions_and_controlnet_change(name):
    kinds = {"FreeScaleDetailRegion", "FreeScalePromptRegion", "ControlNetApplyAdvanced"}
    graph = load(ROOT / "workflows" / f"{name}.json")
    assert kinds & above(graph, "FreeScaleCascade")
    assert not kinds & above(graph, "KSampler")


def test_the_controlnet_lets_go_before_the_end_but_after_the_later_stages_begin():
    graph = load(ROOT / "workflows" / "freescale_controlnet_4k.json")
    (apply,) = [node for node in graph["nodes"] if node["type"] == "ControlNetApplyAdvanced"]
    _, start, end = apply["widgets_values"]
    assert (start, 0.4 < end < 0.8) == (0.0, True)


def test_the_flux_graph_is_muted_and_nothing_that_is_on_needs_it():
    graph = load(ROOT / "workflows" / "freescale_flux_to_4k.json")
    muted = {node["id"] for node in graph["nodes"] if node["mode"] == 2}
    assert {"FluxGuidance", "EmptySD3LatentImage"} < {
        node["type"] for node in graph["nodes"] if node["id"] in muted
    }
    assert all((origin in muted) == (target in muted) for _, origin, _, target, *_ in graph["links"])


@templates
def test_a_template_names_no_folder_of_one_machine(template):
    texts = [str(value) for node in load(template)["nodes"] for value in node.get("widgets_values", [])]
    assert [text for text in texts if re.search(r"(^|\s)(/\w+/|~/|[A-Za-z]:\\|file:)", text)] == []


@templates
def test_links_agree_with_the_nodes_at_both_ends(template):
    graph = load(template)
    nodes = {node["id"]: node for node in graph["nodes"]}
    at_outputs = {
        (link, n["id"], i)
        for n in nodes.values()
        for i, slot in enumerate(n["outputs"])
        for link in slot["links"]
    }
    at_inputs = {
        (slot["link"], n["id"], i)
        for n in nodes.values()
        for i, slot in enumerate(n["inputs"])
        if slot["link"] is not None
    }
    assert at_outputs == {(link, origin, slot) for link, origin, slot, *_ in graph["links"]}
    assert at_inputs == {(link, target, slot) for link, _, _, target, slot, _ in graph["links"]}
    assert len(nodes) == len(graph["nodes"]) and max(nodes) == graph["last_node_id"]
    assert max(link[0] for link in graph["links"]) == graph["last_link_id"]


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


def load(file):
    return json.loads(file.read_text(encoding="utf-8"))


def above(graph, kind):
    """Types of the nodes that the nodes of a type need, directly or not."""
    needed = {node["id"] for node in graph["nodes"] if node["type"] == kind}
    for _ in graph["nodes"]:
        needed |= {origin for _, origin, _, target, *_ in graph["links"] if target in needed}
    return {node["type"] for node in graph["nodes"] if node["id"] in needed}


def box(node):
    (x, y), (w, h) = node["pos"], node["size"]
    return x, y - TITLE, x + w, y + h


def overlap(one, other):
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def inside(one, other):
    return other[0] <= one[0] and other[1] <= one[1] and one[2] <= other[2] and one[3] <= other[3]


def upstream(graph, node):
    """Kinds of the nodes that a node depends on."""
    nodes = {n["id"]: n for n in graph["nodes"]}
    sources = {link[0]: link[1] for link in graph["links"]}
    found, left = set(), [node]
    while left:
        inputs = [sources[i["link"]] for i in left.pop().get("inputs", []) if i.get("link") is not None]
        found |= {nodes[source]["type"] for source in inputs}
        left += [nodes[source] for source in inputs]
    return found


@templates
def test_the_base_image_depends_on_nothing_of_ours_so_alpha_and_speed_leave_it_cached(template):
    graph = load(template)
    for sampler in (node for node in graph["nodes"] if node["type"] == "KSampler"):
        assert not upstream(graph, sampler) & OWN_NODES
