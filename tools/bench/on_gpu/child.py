"""One process of the benchmark: starts ComfyUI with its flags and runs its steps until there is no time
left."""

import json
import sys
import time
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tools.bench.on_gpu import host_process
from tools.bench.on_gpu.record import Record
from tools.bench.on_gpu.steps import STEPS


def main(arguments: list[str]) -> int:
    """arguments: one, the JSON that run.py writes."""
    options = SimpleNamespace(**json.loads(arguments[0]))
    flags: list[str] = options.flags
    on_cpu = host_process.ON_CPU if options.device == "cpu" else ()
    host_process.start(Path(options.comfyui), [*on_cpu, *flags])
    import torch
    from comfy import model_management

    from tools.bench.on_gpu.subject import Subject
    from tools.bench.performance.results import commit

    device = model_management.get_torch_device()
    subject = Subject(options.tiny, device, torch.float32 if device.type == "cpu" else torch.float16)
    record = Record(Path(options.results))
    if not flags or "machine" not in record.data:
        record.data["machine"] = _machine(device)
    with torch.inference_mode():  # As ComfyUI executes nodes.
        for name in options.steps:
            if time.time() + STEPS[name].seconds > options.deadline:
                record.end(name, "no time left")
                continue
            print(f"  {name}", flush=True)
            record.begin(name, flags, options.commit or commit())
            try:
                for row in STEPS[name].load()(subject):
                    record.add(name, row)
            except Exception:  # Nobody cancels here, and what other steps measure must not be lost.
                record.end(name, "failed", traceback.format_exc()[-2000:])
                print(traceback.format_exc(), flush=True)
                if not _answers(device):
                    return 1
            else:
                record.end(name, "done")
    return 0


def _answers(device: Any) -> bool:
    """Whether the device still works after a failed step. Some errors of CUDA last until the process ends."""
    import torch

    try:
        return device.type == "cpu" or bool((torch.ones(8, device=device).sum() == 8).item())
    except RuntimeError:
        return False


def _machine(device: Any) -> dict[str, Any]:
    import comfyui_version
    import torch
    from comfy import model_management
    from comfy.ldm.modules import attention

    cuda = device.type == "cuda"
    return {
        "card": torch.cuda.get_device_name() if cuda else "CPU",
        "host": comfyui_version.__version__,
        "torch": torch.__version__,
        "cuda": torch.version.cuda if cuda else None,
        "attention": str(getattr(attention.optimized_attention, "__name__", attention.optimized_attention)),
        # newer releases
        "dynamic_vram": bool(getattr(sys.modules.get("comfy.memory_management"), "aimdo_enabled", False)),
        "vram_state": model_management.vram_state.name,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
