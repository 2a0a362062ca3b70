"""The templates for transformers, run small on tiny random models of their families.

Load Diffusion Model and Load VAE load files. The text encoders are the demo model's in every one, since
ComfyUI builds those of these families in full size alone.
"""

import copy

import pytest
from prompts import changed, files_of, pixels

from tools.harness import workflow
from tools.harness.comfy_client import ComfyClient, Prompt
from tools.harness.demo_prompts import CHECKPOINT, only

STEPS = 4
IMAGE_VAE, VIDEO_VAE = "tiny_image_vae.safetensors", "tiny_wan_vae.safetensors"
FILES = {
    "FreeScale 17 FLUX to 4k": (["flux"], IMAGE_VAE),
    "FreeScale 18 Z-Image to 4k": (["z_image"], IMAGE_VAE),
    "FreeScale 19 Qwen-Image to 4k": (["qwen_image"], VIDEO_VAE),
    "FreeScale 20 Wan video to 2k": (["wan"], VIDEO_VAE),
    "FreeScale 21 Wan 2.2 video to 2k": (["wan", "wan_low_noise"], VIDEO_VAE),
}
"""Template -> the transformers that it loads, in order, and its VAE."""
BASE = {name: (64, 64) for name in FILES} | {
    "FreeScale 20 Wan video to 2k": (112, 64),
    "FreeScale 21 Wan 2.2 video to 2k": (128, 64),
}
"""Width and height of the base, in pixels."""
IMAGES = {
    "FreeScale 17 FLUX to 4k": [(64, 64), (128, 128), (256, 256)],
    "FreeScale 18 Z-Image to 4k": [(64, 64), (128, 128), (256, 256)],
    "FreeScale 19 Qwen-Image to 4k": [(64, 64), (128, 128), (192, 192)],
}
"""Sizes of the images that are saved."""
FRAMES = 5
VIDEOS = {"FreeScale 20 Wan video to 2k": (272, 160), "FreeScale 21 Wan 2.2 video to 2k": (192, 96)}
"""Size of the video that is saved last."""
SAVER = "SaveAnimatedWEBP"
TEXT_ENCODERS = ("CLIPLoader", "DualCLIPLoader")


def small(name: str, object_info: dict) -> Prompt:
    """A template's prompt with the tiny files, a small base, few frames and few steps."""
    graph = workflow.load(workflow.TEMPLATES / f"{name}.json")
    prompt = copy.deepcopy(workflow.api_prompt(graph, object_info))
    transformers, vae = FILES[name]
    left = iter(transformers)
    encoders = [node for node, values in prompt.items() if values["class_type"] in TEXT_ENCODERS]
    width, height = BASE[name]
    values = {"vae_name": vae, "base_width": width, "base_height": height, "width": width, "height": height}
    for values_of in prompt.values():
        inputs = values_of["inputs"]
        for clip in (given for given in inputs.values() if isinstance(given, list) and given[0] in encoders):
            clip[1] = 1
        inputs |= {key: value for key, value in values.items() if key in inputs}
        if "length" in inputs:
            inputs["length"] = FRAMES
        if "steps" in inputs:
            for step in ("start_at_step", "end_at_step"):
                if 0 < inputs.get(step, 0) < inputs["steps"]:
                    inputs[step] = inputs[step] * STEPS // inputs["steps"]
            inputs["steps"] = STEPS
        if values_of["class_type"] == "UNETLoader":
            inputs["unet_name"] = f"tiny_{next(left)}.safetensors"
    for encoder in encoders:
        prompt[encoder] |= {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": CHECKPOINT}}
    return prompt


@pytest.mark.parametrize("name", IMAGES)
def test_it_saves_the_image_of_every_stage(client: ComfyClient, object_info: dict, name: str) -> None:
    prompt = small(name, object_info)
    run = client.run(prompt)
    assert run.outcome == "success", run.error
    saved = [client.picture(file) for file in files_of(run, prompt, "SaveImage")]
    assert [image.size for image in saved] == IMAGES[name]
    assert all(len(set(image.getdata())) > 1 for image in saved)


@pytest.mark.parametrize("name", VIDEOS)
def test_it_saves_the_base_video_and_the_large_one(client: ComfyClient, object_info: dict, name: str) -> None:
    prompt = small(name, object_info)
    run = client.run(prompt)
    assert run.outcome == "success", run.error
    videos = [client.picture(file) for file in files_of(run, prompt, SAVER)]
    assert [(video.size, video.n_frames) for video in videos] == [
        (BASE[name], FRAMES),
        (VIDEOS[name], FRAMES),
    ]
    assert all(len(set(video.convert("RGB").getdata())) > 1 for video in videos)


def test_the_low_noise_expert_alone_samples_the_later_stage(client: ComfyClient, object_info: dict) -> None:
    """It restarts below the boundary."""
    prompt = small("FreeScale 21 Wan 2.2 video to 2k", object_info)
    cascade, patch = only(prompt, "FreeScaleCascade"), only(prompt, "FreeScaleModelPatch")
    prompt = changed(prompt, cascade, steps=10)
    high = changed(prompt, cascade, low_noise_model=None)
    low = changed(high, patch, model=prompt[cascade]["inputs"]["low_noise_model"])
    with_both, with_high, with_low = (pixels_of_frames(client, each, cascade) for each in (prompt, high, low))
    assert (with_both == with_low).all() and (with_both != with_high).any()


def pixels_of_frames(client: ComfyClient, prompt: Prompt, cascade: str):
    """The first frame that a cascade gives."""
    first = {"class_type": "ImageFromBatch", "inputs": {"image": [cascade, 1], "batch_index": 0, "length": 1}}
    shown = {"class_type": "PreviewImage", "inputs": {"images": ["first", 0]}}
    needed = {node: values for node, values in prompt.items() if values["class_type"] != SAVER}
    whole = needed | {"first": first, "shown": shown}
    return pixels(client, client.run(whole), "shown")


def test_the_rotary_positions_of_the_preset_act(client: ComfyClient, object_info: dict) -> None:
    prompt = small("FreeScale 17 FLUX to 4k", object_info)
    patch, cascade = only(prompt, "FreeScaleModelPatch"), only(prompt, "FreeScaleCascade")
    prompt |= {"shown": {"class_type": "PreviewImage", "inputs": {"images": [cascade, 1]}}}
    prompt = changed(prompt, cascade, factor=2.0)
    preset, ntk, off = (
        pixels(client, client.run(changed(prompt, patch, rope=rope)), "shown")
        for rope in ("by preset", "NTK", "off")
    )
    assert (preset == ntk).all() and (preset != off).any()
