"""Starts ComfyUI inside this process as its own main.py does on a GPU, and loads the pack as ComfyUI loads it."""

import importlib.util
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ON_CPU = ("--cpu", "--use-pytorch-cross-attention")
"""For a dry run: PyTorch's attention is what GPUs use by default."""


def start(comfyui: Path, flags: Sequence[str]) -> None:
    """Must run before anything imports torch: ComfyUI chooses CUDA's allocator by an environment variable.

    flags: of ComfyUI's main.py.
    """
    import tests.host  # noqa: F401 (now, since ComfyUI has a folder of this name, too)

    sys.path.insert(0, str(comfyui))  # Before the repository, whose nodes/ folder would hide the host's nodes.py.
    sys.argv = ["main.py", *flags]
    import comfy.options

    comfy.options.enable_args_parsing()
    from comfy.cli_args import args

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if not args.cpu:
        import cuda_malloc  # noqa: F401 (its import sets the variable)
    _enable_dynamic_vram()
    _load_pack()


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
        comfy_aimdo.control.set_log_info()  # It would write a line for each piece of memory, which takes longer than most kernels.
        comfy.model_patcher.CoreModelPatcher = comfy.model_patcher.ModelPatcherDynamic
        comfy.memory_management.aimdo_enabled = True


def _load_pack() -> None:
    spec = importlib.util.spec_from_file_location("freescale_pack", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    assert spec is not None and spec.loader is not None
    pack = importlib.util.module_from_spec(spec)
    sys.modules["freescale_pack"] = pack
    spec.loader.exec_module(pack)
