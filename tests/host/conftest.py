"""Host tier: the real ComfyUI named by FREESCALE_COMFYUI, on the CPU, with the pack loaded the way the host loads it."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest
import torch

REPO = Path(__file__).resolve().parents[2]
COMFYUI = Path(os.environ["FREESCALE_COMFYUI"])

sys.path.insert(0, str(COMFYUI))  # Before the repository, whose nodes/ folder would hide the host's nodes.py.
from comfy.cli_args import args  # noqa: E402

args.cpu = True
args.use_pytorch_cross_attention = True  # What GPUs use by default; several times faster on a CPU than the host's CPU default.

spec = importlib.util.spec_from_file_location("freescale_pack", REPO / "__init__.py", submodule_search_locations=[str(REPO)])
assert spec is not None and spec.loader is not None
pack = importlib.util.module_from_spec(spec)
sys.modules["freescale_pack"] = pack
spec.loader.exec_module(pack)


@pytest.fixture(autouse=True)
def inference_mode():
    """As the host executes nodes."""
    with torch.inference_mode():
        yield
