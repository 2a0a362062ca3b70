"""Starts ComfyUI inside this process as its own main.py does on a GPU, and loads the pack as ComfyUI loads
it."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

ON_CPU = ("--cpu", "--use-pytorch-cross-attention")
"""For a dry run: PyTorch's attention is what GPUs use by default."""


def start(comfyui: Path, flags: Sequence[str]) -> None:
    """Must run before anything imports torch: ComfyUI chooses CUDA's allocator by an environment variable.

    flags: of ComfyUI's main.py.
    """
    from tools.harness.pack import load_pack  # now, since ComfyUI has a folder "tests", too

    # Before the repository, whose nodes/ folder would hide the host's nodes.py.
    sys.path.insert(0, str(comfyui))
    sys.argv = ["main.py", *flags]
    import comfy.options

    comfy.options.enable_args_parsing()
    from comfy.cli_args import args

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if not args.cpu:
        import cuda_malloc  # noqa: F401 (its import sets the variable)
    _enable_dynamic_vram()
    load_pack()


def _enable_dynamic_vram() -> None:
    """Switch on the newer releases' own memory manager where their main.py does."""
    from comfy import cli_args

    if not getattr(cli_args, "enables_dynamic_vram", lambda: False)():
        return
    import comfy_aimdo.control

    comfy_aimdo.control.init()
    import comfy.memory_management
    import comfy.model_management
    import comfy.model_patcher

    if not comfy.model_management.is_nvidia():
        return
    headroom = int(getattr(cli_args.args, "vram_headroom", 0) * 2**30)
    devices = [(device.index, headroom) for device in comfy.model_management.get_all_torch_devices()]
    if comfy_aimdo.control.init_devices(devices):
        # It would write a line for each piece of memory, which takes longer than most kernels.
        comfy_aimdo.control.set_log_info()
        comfy.model_patcher.CoreModelPatcher = comfy.model_patcher.ModelPatcherDynamic
        comfy.memory_management.aimdo_enabled = True
