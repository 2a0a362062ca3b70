"""Bad input over HTTP: one clear sentence each, and the server goes on."""

import pytest
from prompts import cascade_prompt, changed

from demo.comfy_client import ComfyClient, Prompt

IMAGE = {"20": {"class_type": "EmptyImage", "inputs": {"width": 256, "height": 256, "batch_size": 1, "color": 0}}}
CASCADE = cascade_prompt()

CASES = {
    "latent and image": (
        changed(CASCADE | IMAGE, "10", image=["20", 0]),
        "expects either a latent or an image, got both: disconnect one",
    ),
    "neither latent nor image": (
        changed(CASCADE, "10", latent=None),
        "expects either a latent or an image, got neither: connect one",
    ),
    "only base_width": (
        changed(CASCADE, "5", base_height=0),
        "both sides of the base size or neither, got 256x0: set both",
    ),
    "uni_pc with detail control": (
        changed(CASCADE, "10", sampler_name="uni_pc", scheduler="karras"),
        "cannot work with the sampler uni_pc, because the model sees a rescaled copy of its state: choose euler",
    ),
    "preset Custom without base": (
        changed(CASCADE, "5", preset="Custom", base_width=0, base_height=0),
        "preset Custom expects a base size, got 0x0: set base_width and base_height",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_gets_one_clear_sentence(client: ComfyClient, case: str) -> None:
    prompt, fragment = CASES[case]
    run = client.run(prompt)
    assert run.outcome == "error"
    assert fragment in run.error
    assert "\n" not in run.error


@pytest.mark.parametrize("case", ["latent and image", "only base_width"])
def test_the_error_names_the_node(client: ComfyClient, case: str) -> None:
    prompt, _ = CASES[case]
    (error,) = client.run(prompt).of("execution_error")
    assert error["node_type"].startswith("FreeScale")


def test_a_good_prompt_runs_after_a_bad_one(client: ComfyClient) -> None:
    bad, _ = CASES["uni_pc with detail control"]
    assert client.run(bad).outcome == "error"
    good: Prompt = changed(CASCADE, "10", factor=1.5)
    assert client.run(good).outcome == "success"
