"""VideoCrafter2 on ComfyUI's UNet and samplers against results of its authors' code, every case of the folder
of golden videos."""

import hashlib

import pytest
import torch
from freescale_pack.nodes.backbones.videocrafter.model import RENAMED
from freescale_pack.nodes.backbones.videocrafter.network import VideoCrafterUNet

from tools.harness.golden_video_cases import (
    CALL,
    CASES,
    NOISED,
    SCHEDULE,
    STEP,
    Case,
    call_errors,
    golden_video_model,
    noised_errors,
    run_errors,
)

FULL_SIZE = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 320,
    "num_res_blocks": [2, 2, 2, 2],
    "channel_mult": [1, 2, 4, 4],
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
    "transformer_depth_middle": 1,
    "num_heads": -1,
    "num_head_channels": 64,
    "context_dim": 1024,
    "use_spatial_transformer": True,
    "use_linear_in_transformer": True,
    "num_classes": "sequential",
    "adm_in_channels": 320,
    "legacy": False,
}
PUBLISHED = "7ab59a263663cf7ee096d2769e88523cadaeee4db0c1e32820421bc75b34bd22"
"""sha256 of the published UNet's names and shapes: sorted lines "NAME AxBxC", joined by newlines."""


@pytest.fixture(scope="module")
def model():
    return golden_video_model()


@pytest.mark.parametrize("name", CASES)
def test_a_case_equals_the_authors_result(model, name):
    case = Case(name)
    assert case.is_call or case.is_run or case.is_noised, "neither a UNet call nor a run nor q_sample"
    errors = {"q": noised_errors(case, model)}
    if case.is_call:
        errors["call"] = call_errors(case, model)
    if case.is_run:
        errors["run"] = run_errors(case, model)
    print({kind: {key: f"{error:.1e}" for key, error in found.items()} for kind, found in errors.items()})
    for kind, most in (("q", NOISED), ("call", CALL), ("run", STEP)):
        for key, error in errors.get(kind, {}).items():
            bound = SCHEDULE if key in ("alphas_cumprod", "scale") else most
            assert error < bound, f"{name}: {key} is {error:.1e} off"


def test_the_folder_holds_cases():
    assert CASES


def test_the_full_size_network_has_the_published_tensors():
    unet = VideoCrafterUNet(**FULL_SIZE, device="meta", dtype=torch.float16)
    lines = []
    for name, tensor in unet.state_dict().items():
        for theirs, ours in RENAMED.items():
            name = theirs + name.removeprefix(ours) if name.startswith(ours) else name
        lines.append(f"{name} {'x'.join(map(str, tensor.shape))}")
    assert len(lines) == 1484
    assert sum(tensor.numel() for tensor in unet.state_dict().values()) == 1_413_284_420
    assert hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest() == PUBLISHED


def test_norms_before_attention_have_the_published_epsilon(model):
    """The cases would not notice another."""
    norms = [layer.norm for layer in model.model.diffusion_model.modules() if hasattr(layer, "proj_in")]
    assert len(norms) == 33
    assert {norm.eps for norm in norms} == {1e-6}
