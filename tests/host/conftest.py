"""Host tier: the real ComfyUI named by FREESCALE_COMFYUI, on the CPU, with the pack loaded the way the host loads it."""

import os
import sys
from pathlib import Path

import pytest
import torch

from .pack import load_pack

COMFYUI = Path(os.environ["FREESCALE_COMFYUI"])

sys.path.insert(0, str(COMFYUI))  # Before the repository, whose nodes/ folder would hide the host's nodes.py.
from comfy.cli_args import args  # noqa: E402

args.cpu = True
args.use_pytorch_cross_attention = True  # What GPUs use by default; several times faster on a CPU than the host's CPU default.

load_pack()


@pytest.fixture(autouse=True)
def inference_mode():
    """As the host executes nodes."""
    with torch.inference_mode():
        yield
