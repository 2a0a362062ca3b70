"""What does FreeScale cost? python3 dev.py bench speed --help.

Counts the operations of SDXL, SSD-1B and SD1.5 with the patches in place. Times: dev.py bench gpu.
"""

import argparse
import sys
from typing import Any

import tools.harness.in_process  # noqa: F401, I001 (ComfyUI, then the pack, ready for use in this process)

# isort: split
from freescale_pack.freescale_core.presets import SPEEDS

from tools.bench.performance import document, plots, tables
from tools.bench.performance.counting import SCALES, cascade_share, model_flops, per_call_ratios, speed_share
from tools.bench.performance.models import MODELS
from tools.bench.performance.results import save, text

SHAPES = {"square": False, "16:9": True}


def main() -> int:
    argparse.ArgumentParser(prog="dev.py bench speed", description=__doc__.splitlines()[0]).parse_args()
    save_counts()
    document.write()
    return 0


def save_counts() -> None:
    calls: dict[str, Any] = {}
    ratios: dict[str, Any] = {}
    cascades: dict[str, Any] = {}
    for model in MODELS:
        for shape, wide in SHAPES.items():
            print(f"  counting {model.name}, {shape}", flush=True)
            flops = model_flops(model, wide)
            names = [name for name in flops if name != "unpatched"]
            calls.setdefault(model.name, {})[shape] = flops
            ratios.setdefault(model.name, {})[shape] = {name: per_call_ratios(flops, name) for name in names}
            cascades.setdefault(model.name, {})[shape] = {
                name: {scale: cascade_share(flops, name, scale) for scale in SCALES if scale > 1}
                for name in names
            }
    sdxl = calls[MODELS[0].name]["square"]
    speeds = {
        speed: {scale: speed_share(sdxl, speed, scale) for scale in SCALES if scale > 1} for speed in SPEEDS
    }
    save("counts", {"calls": calls, "ratios": ratios, "cascades": cascades, "speeds": speeds})
    counts = document.load("counts")
    for model in MODELS:
        print(
            f"\n{model.name}\n{text(*tables.call_costs(counts, model.name))}\n",
            text(*tables.cascade_costs(counts, model.name)),
            sep="\n",
        )
    plots.calls(counts, MODELS[0].name)


if __name__ == "__main__":
    sys.exit(main())
