"""What does FreeScale cost? python3 dev.py bench speed --help.

Counts the operations of SDXL, SSD-1B and SD1.5 with the patches in place. Times: dev.py bench gpu.
"""

import argparse
import sys
from collections.abc import Callable
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
    for model in MODELS:
        print(f"  counting {model.name}", flush=True)
        calls[model.name] = {shape: model_flops(model, wide) for shape, wide in SHAPES.items()}
    larger = [scale for scale in SCALES if scale > 1]

    def of_each(share: Callable[[Any, str], Any]) -> dict[str, Any]:
        """share(flops, variant) by model, shape and variant."""
        return {
            name: {shape: {v: share(flops, v) for v in flops if v != "unpatched"} for shape, flops in shapes}
            for name, shapes in ((name, found.items()) for name, found in calls.items())
        }

    ratios = of_each(per_call_ratios)
    cascades = of_each(lambda flops, v: {scale: cascade_share(flops, v, scale) for scale in larger})
    sdxl = calls[MODELS[0].name]["square"]
    speeds = {speed: {scale: speed_share(sdxl, speed, scale) for scale in larger} for speed in SPEEDS}
    save("counts", {"calls": calls, "ratios": ratios, "cascades": cascades, "speeds": speeds})
    counts = document.load("counts")
    for model in MODELS:
        shown = (tables.call_costs(counts, model.name), tables.cascade_costs(counts, model.name))
        print(f"\n{model.name}", *(text(*table) for table in shown), sep="\n\n")
    plots.calls(counts, MODELS[0].name)


if __name__ == "__main__":
    sys.exit(main())
