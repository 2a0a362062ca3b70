"""Host tier: a real ComfyUI in the test's process, on the CPU."""

import pytest
import torch

import tools.harness.in_process  # noqa: F401 (loads ComfyUI and the pack, hence before torch)
from tools.harness.demo_checkpoint import demo_checkpoint


@pytest.fixture(autouse=True)
def inference_mode():
    """As ComfyUI executes nodes."""
    with torch.inference_mode():
        yield


@pytest.fixture(scope="session")
def model():
    """The demo model, unpatched."""
    return demo_checkpoint()[0]
