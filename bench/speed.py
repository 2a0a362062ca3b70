"""What does FreeScale cost? python3 dev.py bench speed --help.

Counts the operations of SDXL, SSD-1B and SD1.5 with the patches in place, and takes the time of one call on this CPU.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # in place of bench/

import tests.host.conftest  # noqa: E402, F401, I001 (the host, then the pack, ready for use in this process)

# isort: split
import torch  # noqa: E402
from freescale_pack.freescale_core.presets import SPEEDS  # noqa: E402

from bench.performance import document, plots, tables  # noqa: E402
from bench.performance.counting import SCALES, cascade_share, model_flops, per_call_ratios, real_flops, speed_share  # noqa: E402
from bench.performance.cpu_calls import demo_unet_calls, sdxl_level_calls  # noqa: E402
from bench.performance.models import MODELS  # noqa: E402
from bench.performance.results import machine, save, text  # noqa: E402
from bench.performance.timing import interleaved, median_and_spread, median_ratio  # noqa: E402

SHAPES = {"square": False, "16:9": True}


def main() -> int:
    parser = argparse.ArgumentParser(prog="dev.py bench speed", description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("counts", "times"), help="one half of it")
    parser.add_argument("--repeats", type=int, default=25, help="rounds of calls whose median is taken (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="of torch (default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.only != "times":
        save_counts()
    if options.only != "counts":
        save_times(options.repeats)
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
                name: {scale: cascade_share(flops, name, scale) for scale in SCALES if scale > 1} for name in names
            }
    sdxl = calls[MODELS[0].name]["square"]
    speeds = {speed: {scale: speed_share(sdxl, speed, scale) for scale in SCALES if scale > 1} for speed in SPEEDS}
    save("counts", {"calls": calls, "ratios": ratios, "cascades": cascades, "speeds": speeds})
    counts = document.load("counts")
    for model in MODELS:
        print(f"\n{model.name}\n{text(*tables.call_costs(counts, model.name))}\n\n{text(*tables.cascade_costs(counts, model.name))}")
    plots.calls(counts, MODELS[0].name)


def save_times(repeats: int) -> None:
    found: dict[str, Any] = {"machine": machine(), "repeats": repeats, "difference": 0.0, "cases": {}}
    cases = {"demo UNet, 512 px from 256": demo_unet_calls, "one SDXL level, 2048 px from 1024": sdxl_level_calls}
    for name, make in cases.items():
        print(f"  timing {name}", flush=True)
        with torch.inference_mode():
            calls = make()
            found["difference"] = max(found["difference"], relative_difference(calls["FreeScale"], calls["plain"]))
            flops = {call: real_flops(run) for call, run in calls.items()}
            seconds = interleaved(calls, repeats)
        found["cases"][name] = {
            call: {
                **dict(zip(("median", "spread"), median_and_spread(taken), strict=True)),
                "flops": flops[call],
                "of_unpatched": median_ratio(taken, seconds["unpatched"]),
                "of_plain": median_ratio(taken, seconds["plain"]),
            }
            for call, taken in seconds.items()
        }
    save("times", found)
    print(f"\n{text(*tables.times(found))}")


def relative_difference(one: Callable[[], Any], other: Callable[[], Any]) -> float:
    expected = other()
    return float((one() - expected).norm() / expected.norm())


if __name__ == "__main__":
    sys.exit(main())
