"""Bad input over HTTP: one clear sentence each, and the server goes on."""

import json

import pytest
from prompts import cascade_prompt, changed, pixels

from tools.harness.comfy_client import ComfyClient, Prompt, PromptRejected

IMAGE = {
    "20": {"class_type": "EmptyImage", "inputs": {"width": 256, "height": 256, "batch_size": 1, "color": 0}}
}
CASCADE = cascade_prompt()
UPSCALE = {
    "vae": ["1", 2],
    "samples": ["6", 0],
    "factor": 2.0,
    "width": 0,
    "height": 0,
    "method": "bicubic",
    "tiling": "auto",
}
FROM_IMAGE = {name: value for name, value in UPSCALE.items() if name != "samples"} | {"image": ["20", 0]}
PREVIEW_21 = {
    "22": {"class_type": "VAEDecode", "inputs": {"samples": ["21", 0], "vae": ["1", 2]}},
    "23": {"class_type": "PreviewImage", "inputs": {"images": ["22", 0]}},
}
PLAN = {
    "base_width": 1024,
    "base_height": 1024,
    "target": "factor",
    "factor": 2.0,
    "megapixels": 4.0,
    "width": 2048,
    "height": 2048,
    "factors": "2, 4",
    "restart": -1.0,
    "method": "bicubic",
    "tiling": "auto",
    "later_steps": 0,
    "later_sampler": "as in stage 0",
    "later_scheduler": "as in stage 0",
}

DILATED = {"factor": 0, "end_percent": 0.7}
REGION = {"alpha": 3.0, "feather": 0.05, "binary": False}
MASKS = {
    "40": {"class_type": "SolidMask", "inputs": {"value": 1.0, "width": 64, "height": 64}},
    "41": {
        "class_type": "CropMask",
        "inputs": {"mask": ["40", 0], "x": 100, "y": 0, "width": 32, "height": 32},
    },
}
TWO_TEXTS = {
    "42": {
        "class_type": "ConditioningCombine",
        "inputs": {"conditioning_1": ["2", 0], "conditioning_2": ["3", 0]},
    }
}


def upscaled(inputs: dict[str, object]) -> Prompt:
    """FreeScale Upscale with these inputs, its latent decoded and shown."""
    return CASCADE | IMAGE | {"21": {"class_type": "FreeScaleUpscale", "inputs": inputs}} | PREVIEW_21


def planned(**inputs: object) -> Prompt:
    """The cascade with a plan."""
    plan = {"24": {"class_type": "FreeScalePlan", "inputs": PLAN | inputs}}
    return changed(CASCADE, "10", plan=["24", 0]) | plan


CASES = {
    "latent and image": (
        changed(CASCADE | IMAGE, "10", image=["20", 0]),
        "expects either a latent or an image, got both: disconnect one",
    ),
    "neither latent nor image": (
        changed(CASCADE, "10", latent=None),
        "expects either a latent or an image, got neither: connect one",
    ),
    "latent and image to enlarge": (
        upscaled(UPSCALE | {"image": ["20", 0]}),
        "FreeScale Upscale expects either a latent or an image, got both: disconnect one",
    ),
    "neither latent nor image to enlarge": (
        upscaled({name: value for name, value in UPSCALE.items() if name != "samples"}),
        "FreeScale Upscale expects either a latent or an image, got neither: connect one",
    ),
    "only base_width": (
        changed(CASCADE, "5", base_height=0),
        "both sides of the base size or neither, got 256x0: set both",
    ),
    "uni_pc with detail control": (
        changed(CASCADE, "10", sampler_name="uni_pc", scheduler="karras"),
        "cannot work with the sampler uni_pc, because it shows the model a rescaled copy of the image: "
        "choose euler",
    ),
    "uni_pc in the later stages of a plan": (
        planned(base_width=256, base_height=256, later_sampler="uni_pc"),
        "cannot work with the sampler uni_pc, because",
    ),
    "uni_pc behind a part that may set detail control off": (
        changed(CASCADE, "10", sampler_name="uni_pc", model=["21", 0])
        | {"21": {"class_type": "FreeScaleDilatedConv", "inputs": {"model": ["5", 0]} | DILATED}},
        "cannot work with the sampler uni_pc, because",
    ),
    "a plan whose target is below its base": (
        planned(target="width x height", width=512, height=512),
        "expected a target at least 1.1 times the start 1024x1024, got 512x512",
    ),
    "a plan whose factors are no numbers": (
        planned(target="list of factors", factors="twice"),
        'expected factors from 1.1 to 16.0 such as "2, 4", got "twice"',
    ),
    "a latent that is not smaller than stage 1": (
        planned(base_width=128, base_height=128, factor=2.0),
        "expects a latent smaller than stage 1 (256x256), got 256x256",
    ),
    "a latent of another shape than the plan": (
        planned(base_width=256, base_height=128, factor=2.0),
        "expects a start in the shape of stage 1 (512x256), got 256x256",
    ),
    "a plan with a base below 64 pixels": (
        planned(base_width=56, base_height=56),
        "expected a base size of at least 64x64 pixels, got 56x56: set the size the model was trained for",
    ),
    "a plan whose result is beyond 16384 pixels": (
        planned(base_width=4096, base_height=4096, factor=16.0),
        "expected at most 16384 pixels a side, got 65536x65536: choose a smaller target or factor",
    ),
    "a factor whose result is beyond 16384 pixels": (
        changed(
            CASCADE | changed(IMAGE, "20", width=2048, height=128),
            "10",
            latent=None,
            image=["20", 0],
            factor=16.0,
        ),
        "expected at most 16384 pixels a side, got 32768x2048: choose a smaller target or factor",
    ),
    "a factor of the upscaler whose result is beyond 16384 pixels": (
        CASCADE
        | changed(IMAGE, "20", width=2048, height=128)
        | {"21": {"class_type": "FreeScaleUpscale", "inputs": FROM_IMAGE | {"factor": 16.0}}}
        | PREVIEW_21,
        "FreeScale Upscale expects a result of at most 16384 pixels a side, got 32768x2048: choose a smaller "
        "factor",
    ),
    "half a size in the upscaler": (
        CASCADE | {"21": {"class_type": "FreeScaleUpscale", "inputs": UPSCALE | {"width": 512}}} | PREVIEW_21,
        "both sides of the next stage or neither, got 512x0",
    ),
    "a model without a UNet": (
        changed(CASCADE, "5", model=["30", 0], preset="SDXL")
        | {
            "30": {
                "class_type": "UNETLoader",
                "inputs": {"unet_name": "tiny_sd3.safetensors", "weight_dtype": "default"},
            }
        },
        "FreeScale Model Patch: preset SDXL is for Stable Diffusion UNets, got SD3 with",
    ),
    "a detail region whose mask is cropped to nothing": (
        changed(CASCADE, "5", detail_regions=["43", 0])
        | MASKS
        | {"43": {"class_type": "FreeScaleDetailRegion", "inputs": REGION | {"mask": ["41", 0]}}},
        "expects a mask of shape (images, height, width) with floating-point values, got shape (1, 32, 0) "
        "of torch.float32: ",
    ),
    "a prompt region with two texts": (
        changed(CASCADE, "5", prompt_regions=["43", 0])
        | MASKS
        | TWO_TEXTS
        | {
            "43": {
                "class_type": "FreeScalePromptRegion",
                "inputs": {"conditioning": ["42", 0], "mask": ["40", 0], "strength": 1.0},
            }
        },
        "FreeScale Prompt Region expects one text, got 2 combined ones: join them with Conditioning (Concat)",
    ),
    "a checkpoint without a VAE": (
        changed(CASCADE, "10", vae=["44", 2])
        | {
            "44": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "without_vae.safetensors"}}
        },
        "FreeScale Cascade expects a VAE, got none: this checkpoint has none, so load one with Load VAE",
    ),
    "a latent of another kind of model": (
        CASCADE
        | {"21": {"class_type": "FreeScaleUpscale", "inputs": UPSCALE | {"samples": ["45", 0]}}}
        | {
            "45": {
                "class_type": "EmptySD3LatentImage",
                "inputs": {"width": 256, "height": 256, "batch_size": 1},
            }
        }
        | PREVIEW_21,
        "FreeScale Upscale expects a latent with 4 channels, got 16: connect the VAE that made the latent",
    ),
    "preset Custom without base": (
        changed(CASCADE, "5", preset="Custom", base_width=0, base_height=0),
        "preset Custom expects a base size, got 0x0: set base_width and base_height",
    ),
}


BEFORE_A_RUN = {
    "neither latent nor image": "10",
    "neither latent nor image to enlarge": "21",
    "uni_pc with detail control": "10",
    "uni_pc in the later stages of a plan": "10",
}
"""Cases that are told at once, and their node: nothing is sampled for them."""
IN_A_RUN = [case for case in CASES if case not in BEFORE_A_RUN]


@pytest.mark.parametrize("case", BEFORE_A_RUN)
def test_what_the_prompt_tells_is_told_at_the_node_before_anything_runs(
    client: ComfyClient, case: str
) -> None:
    prompt, fragment = CASES[case]
    with pytest.raises(PromptRejected) as refused:
        client.run(prompt)
    problems = json.loads(str(refused.value))["node_errors"][BEFORE_A_RUN[case]]["errors"]
    assert [fragment in problem["details"] for problem in problems] == [True]


def test_a_link_of_another_type_is_still_refused(client: ComfyClient) -> None:
    with pytest.raises(PromptRejected, match="FreeScale Cascade expects a LATENT for latent, got MODEL"):
        client.run(changed(CASCADE, "10", latent=["1", 0]))


@pytest.mark.parametrize("case", IN_A_RUN)
def test_bad_input_gets_one_clear_sentence(client: ComfyClient, case: str) -> None:
    prompt, fragment = CASES[case]
    run = client.run(prompt)
    assert run.outcome == "error"
    assert fragment in run.error
    assert "\n" not in run.error


def test_a_vae_that_is_not_connected_is_refused_before_anything_runs(client: ComfyClient) -> None:
    with pytest.raises(PromptRejected, match="Required input is missing.*vae"):
        client.run(changed(CASCADE, "10", vae=None))


@pytest.mark.parametrize("case", IN_A_RUN)
def test_the_error_names_the_node(client: ComfyClient, case: str) -> None:
    prompt, _ = CASES[case]
    (error,) = client.run(prompt).of("execution_error")
    assert error["node_type"].startswith("FreeScale")


def test_an_empty_latent_of_another_kind_of_model_is_adapted(client: ComfyClient) -> None:
    sd3 = {"6": {"class_type": "EmptySD3LatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}}}
    run = client.run(changed(CASCADE, "5", base_width=64, base_height=64) | sd3)
    assert pixels(client, run, "11").shape == (128, 128, 3)


def test_a_good_prompt_runs_after_a_bad_one(client: ComfyClient) -> None:
    bad, _ = CASES["preset Custom without base"]
    assert client.run(bad).outcome == "error"
    good: Prompt = changed(CASCADE, "10", factor=1.5)
    assert client.run(good).outcome == "success"
