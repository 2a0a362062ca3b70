"""The templates as files: complete, tidy, and made of nodes that everyone has."""

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
MODEL_NODES = {"FreeScaleVideoCrafterLoader", "FreeScaleVideoCrafterTextToVideo"}
"""Own nodes that stand for a stock loader and a stock empty latent, which ComfyUI does not have."""
CORE_NODES = {
    "CheckpointLoaderSimple",
    "CLIPLoader",
    "CLIPTextEncode",
    "Canny",
    "ConditioningZeroOut",
    "ControlNetApplyAdvanced",
    "ControlNetLoader",
    "CreateVideo",
    "DualCLIPLoader",
    "EmptyHunyuanLatentVideo",
    "EmptyLatentImage",
    "EmptySD3LatentImage",
    "FluxGuidance",
    "FreeU",
    "ImageFromBatch",
    "ImageOnlyCheckpointLoader",
    "ImageScaleToMaxDimension",
    "ImageStitch",
    "KSampler",
    "KSamplerAdvanced",
    "LatentUpscaleBy",
    "LoadImage",
    "MarkdownNote",
    "MaskComposite",
    "ModelSamplingAuraFlow",
    "ModelSamplingSD3",
    "PreviewImage",
    "SVD_img2vid_Conditioning",
    "SaveAnimatedWEBP",
    "SaveImage",
    "SaveVideo",
    "SolidMask",
    "UNETLoader",
    "UpscaleModelLoader",
    "VAEDecode",
    "VAELoader",
    "VideoLinearCFGGuidance",
}
"""Nodes of ComfyUI 0.3.75 that templates use; tests/server/test_templates.py holds them against the server
and runs those that are on."""
NEWER_NODES = {"ImageCompare"}
"""Nodes that 0.3.75 has not: in the app alone, which only newer pages show as one."""
APP = ROOT / "workflows" / "FreeScale 03 Text to 4k.app.json"
templates = pytest.mark.parametrize("template", FILES, ids=lambda file: file.stem)


def test_these_are_the_templates():
    assert [file.stem for file in FILES] == [
        "FreeScale 01 Text to 4k",
        "FreeScale 02 Text to 2k",
        "FreeScale 03 Text to 4k.app",
        "FreeScale 04 Any image to 2k",
        "FreeScale 05 Best of four",
        "FreeScale 06 Any model to 4k",
        "FreeScale 07 Few steps to 2k",
        "FreeScale 08 ControlNet at 4k",
        "FreeScale 09 Detail in a region",
        "FreeScale 10 Prompt in a region",
        "FreeScale 11 Text to 8k",
        "FreeScale 12 Stage by stage",
        "FreeScale 13 Versus direct",
        "FreeScale 14 Parts switched off",
        "FreeScale 15 VideoCrafter2 text to video",
        "FreeScale 16 SVD image to video",
        "FreeScale 17 FLUX to 4k",
        "FreeScale 18 Z-Image to 4k",
        "FreeScale 19 Qwen-Image to 4k",
        "FreeScale 20 Wan video to 2k",
        "FreeScale 21 Wan 2.2 video to 2k",
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
    known = OWN_NODES | CORE_NODES | (NEWER_NODES if template == APP else set())
    assert {node["type"] for node in load(template)["nodes"]} <= known


@templates
def test_every_node_is_on_or_muted_or_bypassed(template):
    assert {node["mode"] for node in load(template)["nodes"]} <= {0, 2, 4}


def test_each_part_is_switched_off():
    values = {
        node["type"]: node["widgets_values"][0]
        for node in load(ROOT / "workflows" / "FreeScale 14 Parts switched off.json")["nodes"]
        if "widgets_values" in node
    }
    parts = ("FreeScaleScaleFusion", "FreeScaleDilatedConv", "FreeScaleDetailControl")
    assert [values[part] for part in parts] == ["off", 1, False]


def test_freeu_is_bypassed_where_its_filter_takes_much_of_the_memory():
    """7 to 14 GiB at 8192 px (tests/core/planning/test_cost.py)."""
    (freeu,) = [
        node
        for node in load(ROOT / "workflows" / "FreeScale 11 Text to 8k.json")["nodes"]
        if node["type"] == "FreeU"
    ]
    assert freeu["mode"] == 4


@pytest.mark.parametrize(
    "name",
    ["FreeScale 09 Detail in a region", "FreeScale 10 Prompt in a region", "FreeScale 08 ControlNet at 4k"],
)
def test_the_base_picture_stays_cached_while_regions_and_controlnet_change(name):
    kinds = {"FreeScaleDetailRegion", "FreeScalePromptRegion", "ControlNetApplyAdvanced"}
    graph = load(ROOT / "workflows" / f"{name}.json")
    assert kinds & above(graph, "FreeScaleCascade")
    assert not kinds & above(graph, "KSampler")


def test_the_controlnet_lets_go_before_the_end_but_after_the_later_stages_begin():
    graph = load(ROOT / "workflows" / "FreeScale 08 ControlNet at 4k.json")
    (apply,) = [node for node in graph["nodes"] if node["type"] == "ControlNetApplyAdvanced"]
    _, start, end = apply["widgets_values"]
    assert (start, 0.4 < end < 0.8) == (0.0, True)


def test_the_best_of_four_shows_four_base_images_and_goes_on_only_when_group_2_is_unmuted():
    nodes = {
        node["type"]: node for node in load(ROOT / "workflows" / "FreeScale 05 Best of four.json")["nodes"]
    }
    assert nodes["EmptyLatentImage"]["widgets_values"][2] == 4
    muted = {kind for kind, node in nodes.items() if node["mode"] == 2}
    assert muted == {"ImageFromBatch", "FreeScaleModelPatch", "FreeScaleCascade", "SaveImage"}


def test_only_the_image_of_the_other_model_reaches_freescale():
    graph = load(ROOT / "workflows" / "FreeScale 06 Any model to 4k.json")
    (other,) = [node["id"] for node in graph["nodes"] if node["type"] == "UNETLoader"]
    fed = {target for _, origin, _, target, *_ in graph["links"] if origin == other}
    assert [node["type"] for node in graph["nodes"] if node["id"] in fed] == ["KSampler"]
    assert {"UNETLoader", "CheckpointLoaderSimple"} < above(graph, "FreeScaleCascade")


def test_the_app_offers_prompt_size_and_alpha_and_shows_results():
    graph = load(APP)
    nodes = {str(node["id"]): node for node in graph["nodes"]}
    app = graph["extra"]["linearData"]
    offered = [(nodes[node]["type"], widget) for node, widget in app["inputs"]]
    assert graph["extra"]["linearMode"] is True
    assert {
        ("CLIPTextEncode", "text"),
        ("EmptyLatentImage", "width"),
        ("EmptyLatentImage", "height"),
        ("FreeScaleCascade", "factor"),
        ("FreeScaleModelPatch", "alpha"),
    } < set(offered)
    assert {nodes[node]["type"] for node in app["outputs"]} == {"ImageCompare", "SaveImage"}


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


def load(file):
    return json.loads(file.read_text(encoding="utf-8"))


def above(graph, kind):
    """Types of the nodes that the nodes of a type need, directly or not."""
    needed = {node["id"] for node in graph["nodes"] if node["type"] == kind}
    for _ in graph["nodes"]:
        needed |= {origin for _, origin, _, target, *_ in graph["links"] if target in needed}
    return {node["type"] for node in graph["nodes"] if node["id"] in needed}


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
        assert not upstream(graph, sampler) & (OWN_NODES - MODEL_NODES)


def test_svds_image_is_encoded_anew_for_the_larger_video():
    """Its size there is the base's times the cascade's factor."""
    graph = load(ROOT / "workflows" / "FreeScale 16 SVD image to video.json")
    nodes = {node["id"]: node for node in graph["nodes"]}
    (cascade,) = [node for node in nodes.values() if node["type"] == "FreeScaleCascade"]
    (override,) = [node for node in nodes.values() if node["type"] == "FreeScaleStageOverride"]
    base, larger = (feeding(graph, nodes, node, "positive") for node in (cascade, override))
    assert feeding(graph, nodes, cascade, "overrides") is override
    assert base["type"] == larger["type"] == "SVD_img2vid_Conditioning"
    factor = cascade["widgets_values"][-1]
    assert [factor * side for side in base["widgets_values"][:2]] == larger["widgets_values"][:2]
    assert base["widgets_values"][2:] == larger["widgets_values"][2:]


def feeding(graph, nodes, node, name):
    """The node that an input comes from."""
    (link,) = [slot["link"] for slot in node["inputs"] if slot["name"] == name]
    return nodes[next(origin for id_, origin, *_ in graph["links"] if id_ == link)]


def test_the_base_video_hands_over_where_the_cascade_does():
    """At the first step that begins below sigma 0.875, by the schedule that both shifts give."""
    nodes = load(ROOT / "workflows" / "FreeScale 21 Wan 2.2 video to 2k.json")["nodes"]
    shifts = {node["widgets_values"][0] for node in nodes if node["type"] == "ModelSamplingSD3"}
    samplers = [node["widgets_values"] for node in nodes if node["type"] == "KSamplerAdvanced"]
    (shift,), (steps,) = shifts, {values[3] for values in samplers}
    left = [1 - step / steps for step in range(steps)]
    sigmas = [shift * u / (1 + (shift - 1) * u) for u in left]
    first = next(step for step, sigma in enumerate(sigmas) if sigma < 0.875)
    (_, *_, to, _), (_, *_, begin, _, _) = samplers
    assert (to, begin) == (first, first)
