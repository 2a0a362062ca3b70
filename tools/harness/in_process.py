"""ComfyUI in this process, on the CPU, with the pack loaded.

Import it before anything of ComfyUI or of the pack.
"""

import os
import sys
from pathlib import Path

from tools.harness.pack import load_pack

COMFYUI = Path(os.environ["FREESCALE_COMFYUI"])

sys.path.insert(0, str(COMFYUI))  # Before the repository, whose nodes/ folder would hide ComfyUI's nodes.py.
from comfy.cli_args import args  # noqa: E402

args.cpu = True
# What GPUs use by default; several times faster on a CPU than ComfyUI's default there.
args.use_pytorch_cross_attention = True

load_pack()
