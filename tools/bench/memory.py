"""How much memory does FreeScale need? python3 dev.py bench memory --help.

One fused attention alone, whole UNet calls at 2k, 4k and 8k on meta tensors, and what follows for a GPU of a
given size.
"""

import argparse
import sys
from typing import Any

import tools.harness.in_process  # noqa: F401, I001 (ComfyUI, then the pack, ready for use in this process)

# isort: split
import torch
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.settings import FusionSettings

from tools.bench.performance import document, plots, tables
from tools.bench.performance.attention import LoneAttention
from tools.bench.performance.counting import VARIANTS
from tools.bench.performance.gpu_table import RESERVE_GIB, WITH_FREEU, gpu_rows
from tools.bench.performance.models import MODELS, MetaCall
from tools.bench.performance.results import save, text
from tools.bench.performance.storage import allocator_peak, live_peak

CALLS: dict[str, dict[str, Any]] = {
    "unpatched": {},
    "exact": {"fusion": VARIANTS["exact, 3-D"]},
    "fast": {"fusion": VARIANTS["fast, 3-D"]},
    WITH_FREEU: {"fusion": VARIANTS["exact, 3-D"], "freeu": True},
}
SCALES = (2, 4, 8)
HALF = {"device": "meta", "dtype": torch.float16}


def main() -> int:
    argparse.ArgumentParser(prog="dev.py bench memory", description=__doc__.splitlines()[0]).parse_args()
    with torch.inference_mode():
        attention = [attention_row(name, scale) for scale in SCALES for name in VARIANTS]
        calls = [call_row(model, variant, scale) for model in MODELS for scale in SCALES for variant in CALLS]
    weights = MODELS[0].weights
    found = {
        "attention": attention,
        "calls": calls,
        "weights": weights,
        "reserve_gib": RESERVE_GIB,
        "gpus": gpu_rows(calls, weights),
    }
    save("memory", found)
    shown = (tables.attention_memory(found), tables.unet_memory(found, "SDXL"), tables.gpus(found))
    print(*(text(*table) for table in shown), sep="\n\n")
    plots.memory(found, "SDXL")
    document.write()
    return 0


def attention_row(name: str, scale: int) -> dict[str, Any]:
    """Extra memory, in ordinary outputs: SDXL's half-resolution level on meta tensors; a small real run at 2x
    for the allocator."""
    window, fusion = Size(64, 64), VARIANTS[name]
    attend, fuse = extra_outputs(window, scale, fusion, 640, 10, live_peak, **HALF)
    row = {"name": f"{scale}x, {name}", "attend": attend, "fuse": fuse, "attend_cpu": None, "fuse_cpu": None}
    if scale == 2:
        row["attend_cpu"], row["fuse_cpu"] = extra_outputs(
            Size(32, 32), scale, fusion, 320, 5, allocator_peak, little_memory=True
        )
    print(f"  attention {scale}x, {name}", flush=True)
    return row


def extra_outputs(
    window: Size, scale: int, fusion: FusionSettings, channels: int, heads: int, peak: Any, **like: Any
) -> tuple[Any, Any]:
    """(attention beyond the plain one's, blur beyond the projected branches or None)."""
    grid = Size(window.height * scale, window.width * scale)
    plain, fused = (LoneAttention(window, grid, f, channels, heads, **like) for f in (None, fusion))
    attended = (peak(fused.attend) - peak(plain.attend)) / plain.output_bytes
    if not fusion.over_channels:
        return attended, None
    projected = fused.attend()
    return attended, peak(lambda: fused.fuse(projected)) / plain.output_bytes


def call_row(model: Any, variant: str, scale: int) -> dict[str, Any]:
    """Activations of one call in half precision, bytes, for a batch of one and two."""
    size = Size(model.square.height * scale, model.square.width * scale)
    print(f"  {model.name} at {size}, {variant}", flush=True)
    peaks = {
        str(batch): live_peak(MetaCall(model, model.square, size, batch=batch, **CALLS[variant]))
        for batch in (1, 2)
    }
    return {"model": model.name, "size": str(size), "variant": variant, "batch": peaks}


if __name__ == "__main__":
    sys.exit(main())
