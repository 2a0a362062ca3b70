"""Every template, held against what the server says about its nodes and run once, small, on the demo
model."""

import io
from collections.abc import Iterator

import av
import numpy as np
import pytest
from prompts import changed, files_of, pixels
from tiny_video_prompts import FRAMES, for_tiny_videos

from tools.harness import workflow
from tools.harness.comfy_client import ComfyClient, Prompt
from tools.harness.demo_prompts import for_demo_model, only

STEPS = 4
BASE = 64
"""Side in pixels that 1024 px become here: enough to see every size, small enough for a CPU."""
SAVED = {
    "FreeScale 01 Text to 4k": [(64, 64), (128, 128), (256, 256)],
    "FreeScale 02 Text to 2k": [(64, 64), (128, 128)],
    "FreeScale 03 Text to 4k.app": [(64, 64), (128, 128), (256, 256)],
    "FreeScale 04 Any image to 2k": [(128, 128)],
    "FreeScale 05 Best of four": [(256, 256)],
    "FreeScale 06 Any model to 4k": [(256, 256)],
    "FreeScale 07 Few steps to 2k": [(64, 64), (128, 128)],
    "FreeScale 08 ControlNet at 4k": [(256, 256)],
    "FreeScale 09 Detail in a region": [(128, 128)],
    "FreeScale 10 Prompt in a region": [(128, 128)],
    "FreeScale 11 Text to 8k": [(64, 64), (128, 128), (256, 256), (512, 512)],
    "FreeScale 12 Stage by stage": [(256, 256)],
    "FreeScale 13 Versus direct": [(128 + 16 + 128, 128)],
    "FreeScale 14 Parts switched off": [(128, 128)] * 4,
}
"""Template -> sizes of the pictures that it saves, with all its groups on."""
SAVED_VIDEOS = {
    "FreeScale 15 VideoCrafter2 text to video": [(128, 80), (256, 160)],
    "FreeScale 16 SVD image to video": [(128, 72), (256, 144)],
}
"""Template -> sizes of the videos that it saves."""
OF_TRANSFORMERS = {
    "FreeScale 17 FLUX to 4k",
    "FreeScale 18 Z-Image to 4k",
    "FreeScale 19 Qwen-Image to 4k",
    "FreeScale 20 Wan video to 2k",
    "FreeScale 21 Wan 2.2 video to 2k",
}
"""Run by test_transformer_templates.py on models of their own."""
MUTED_AT_FIRST = "FreeScale 05 Best of four"

each_template = pytest.mark.parametrize(
    "name", sorted(file.stem for file in workflow.TEMPLATES.glob("*.json"))
)


def load(name: str) -> workflow.Workflow:
    return workflow.load(workflow.TEMPLATES / f"{name}.json")


def small(graph: workflow.Workflow, object_info: dict) -> Prompt:
    return for_demo_model(
        workflow.api_prompt(graph, object_info), steps=STEPS, text="owl on a blue background", base_side=BASE
    )


@pytest.mark.parametrize("name", SAVED)
def test_it_runs_and_saves_pictures_of_the_right_sizes(
    client: ComfyClient, object_info: dict, name: str
) -> None:
    graph = unmuted(load(name)) if name == MUTED_AT_FIRST else load(name)
    graph = without_newer_nodes(graph, object_info)
    prompt = small(graph, object_info)
    run = client.run(prompt, graph)
    assert run.outcome == "success", run.error
    saved = files_of(run, prompt, "SaveImage")
    assert [client.picture(file).size for file in saved] == SAVED[name]
    assert all(file["subfolder"] == "FreeScale" for file in saved)


@pytest.mark.parametrize("name", SAVED_VIDEOS)
def test_it_runs_and_saves_videos_of_the_right_sizes(
    client: ComfyClient, object_info: dict, name: str
) -> None:
    prompt = for_tiny_videos(workflow.api_prompt(load(name), object_info))
    run = client.run(prompt)
    assert run.outcome == "success", run.error
    saved = files_of(run, prompt, "SaveVideo")
    videos = [frames_of(client, file) for file in saved]
    assert [frames[0].shape[1::-1] for frames in videos] == SAVED_VIDEOS[name]
    assert all(len(frames) == FRAMES and frames[0].std() > 1 for frames in videos)
    assert all(file["subfolder"] == "FreeScale" for file in saved)


def frames_of(client: ComfyClient, file: dict[str, str]) -> list[np.ndarray]:
    """The frames of a saved video, (h, w, 3) each."""
    with av.open(io.BytesIO(client.file(file))) as video:
        return [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]


def test_the_base_video_is_decoded_before_the_larger_one_is_begun(
    client: ComfyClient, object_info: dict
) -> None:
    """Both begin with the base's latent; ComfyUI takes first what is near to an output."""
    prompt = for_tiny_videos(
        workflow.api_prompt(load("FreeScale 15 VideoCrafter2 text to video"), object_info)
    )
    started = client.run(changed(prompt, only(prompt, "KSampler"), seed=1)).started_nodes
    larger = started.index(only(prompt, "KSamplerAdvanced"))
    kinds = [prompt[node]["class_type"] for node in started[:larger]]
    assert "VAEDecode" in kinds


def test_the_best_of_four_makes_four_base_images_and_no_more_at_first(
    client: ComfyClient, object_info: dict
) -> None:
    prompt = small(load(MUTED_AT_FIRST), object_info)
    run = client.run(prompt)
    assert [client.picture(file).size for file in run.files(only(prompt, "PreviewImage"))] == [
        (BASE, BASE)
    ] * 4
    assert not any(node["class_type"].startswith("FreeScale") for node in prompt.values())


def test_another_of_the_four_leaves_the_base_images_cached(client: ComfyClient, object_info: dict) -> None:
    prompt = small(unmuted(load(MUTED_AT_FIRST)), object_info)
    saved, pick = only(prompt, "SaveImage"), only(prompt, "ImageFromBatch")
    first = pixels(client, client.run(prompt), saved)
    run = client.run(changed(prompt, pick, batch_index=2))
    (cached,) = (message["nodes"] for message in run.of("execution_cached"))
    assert only(prompt, "KSampler") in cached
    assert (pixels(client, run, saved) != first).any()


def test_the_controlnet_acts_in_the_later_stages(client: ComfyClient, object_info: dict) -> None:
    prompt = small(load("FreeScale 08 ControlNet at 4k"), object_info)
    prompt = changed(prompt, only(prompt, "FreeScaleCascade"), factor=2.0)
    apply, saved = only(prompt, "ControlNetApplyAdvanced"), only(prompt, "SaveImage")
    without, strong = (
        pixels(client, client.run(changed(prompt, apply, strength=strength)), saved)
        for strength in (0.0, 1.0)
    )
    assert (without != strong).any()


def test_a_bypassed_controlnet_hands_on_both_prompts(object_info: dict) -> None:
    graph = load("FreeScale 08 ControlNet at 4k")
    (apply,) = [node for node in graph["nodes"] if node["type"] == "ControlNetApplyAdvanced"]
    apply["mode"] = workflow.BYPASSED
    prompt = workflow.api_prompt(graph, object_info)
    base, cascade = (prompt[only(prompt, kind)]["inputs"] for kind in ("KSampler", "FreeScaleCascade"))
    assert [cascade["positive"], cascade["negative"]] == [base["positive"], base["negative"]]


@each_template
def test_its_sockets_are_the_nodes_own(object_info: dict, name: str) -> None:
    """Muted nodes too, which no run reaches: sockets by name, order and type; choices among those the node
    offers."""
    for node in without_newer_nodes(load(name), object_info)["nodes"]:
        if node["type"] in workflow.NOTES:
            continue
        info = object_info[node["type"]]
        sockets = list(sockets_of(info))
        written = [(slot["name"], slot["type"]) for slot in node["inputs"]]
        assert written == [socket for socket in sockets if socket in written], node["type"]
        outputs = list(zip(info["output_name"], info["output"], strict=True))
        assert [(slot["name"], slot["type"]) for slot in node["outputs"]] in (outputs, []), node["type"]


@each_template
def test_its_links_join_equal_types(name: str) -> None:
    graph = load(name)
    nodes = {node["id"]: node for node in graph["nodes"]}
    for _, origin, out_slot, target, in_slot, kind in graph["links"]:
        assert nodes[origin]["outputs"][out_slot]["type"] == nodes[target]["inputs"][in_slot]["type"] == kind


def test_the_server_offers_all_of_them_with_their_pictures(client: ComfyClient) -> None:
    names = sorted({*SAVED, *SAVED_VIDEOS, *OF_TRANSFORMERS})
    assert sorted(client.get("/workflow_templates")["ComfyUI-FreeScale"]) == names
    for name in names:
        assert client.picture_at(f"/api/workflow_templates/ComfyUI-FreeScale/{name}.jpg").format == "JPEG"


def unmuted(graph: workflow.Workflow) -> workflow.Workflow:
    for node in graph["nodes"]:
        node["mode"] = 0 if node["mode"] == workflow.MUTED else node["mode"]
    return graph


def without_newer_nodes(graph: workflow.Workflow, object_info: dict) -> workflow.Workflow:
    """The app without its slider where ComfyUI has no Compare Images."""
    graph["nodes"] = [
        node for node in graph["nodes"] if node["type"] != "ImageCompare" or node["type"] in object_info
    ]
    return graph


def sockets_of(info: dict) -> Iterator[tuple[str, str]]:
    """(name, type) of the inputs that are sockets and no widgets, in order."""
    for section in ("required", "optional"):
        for name, (kind, *rest) in info["input"].get(section, {}).items():
            if isinstance(kind, str) and (
                kind not in (*workflow.WIDGET_TYPES, *workflow.SOCKETLESS)
                or (rest and rest[0].get("forceInput"))
            ):
                yield name, kind
