"""Host tier: a real ComfyUI in the test's process, on the CPU."""

import tools.harness.in_process  # noqa: F401, I001 (ComfyUI, then the pack, ready for use in this process)

# isort: split
import pytest
import torch
from freescale_pack.nodes.cascade.kept import KEPT

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


@pytest.fixture(autouse=True)
def no_kept_stages():
    """A test begins as a new process does."""
    KEPT.clear()
