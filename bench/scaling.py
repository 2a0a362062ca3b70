"""How does the cost of fused attention grow with the picture? python3 dev.py bench scaling --help."""

import argparse
import math
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # in place of bench/

import tests.host.conftest  # noqa: E402, F401, I001 (the host, then the pack, ready for use in this process)

# isort: split
import torch  # noqa: E402
from freescale_pack.freescale_core.geometry import Size  # noqa: E402
from freescale_pack.freescale_core.settings import FusionSettings  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from bench.performance import document, plots, tables  # noqa: E402
from bench.performance.attention import LoneAttention  # noqa: E402
from bench.performance.results import machine, save, text  # noqa: E402
from bench.performance.storage import live_peak  # noqa: E402
from bench.performance.timing import interleaved, median_and_spread  # noqa: E402

WINDOW, CHANNELS, HEADS = 16, 320, 5
SIDES = (24, 32, 48, 64, 96)


def main() -> int:
    parser = argparse.ArgumentParser(prog="dev.py bench scaling", description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7, help="rounds of calls whose median is taken (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="of torch (default: %(default)s)")
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES, help="of the token grid (default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found: dict[str, Any] = {"machine": machine(), "window": WINDOW, "channels": CHANNELS, "rows": []}
    with torch.inference_mode():
        for side in options.sides:
            print(f"  {side} x {side} tokens", flush=True)
            found["rows"].append(row(side, options.repeats))
    first, last = found["rows"][0], found["rows"][-1]
    grown = math.log(last["tokens"] / first["tokens"])
    found["exponents"] = {name: math.log(last[name]["seconds"] / first[name]["seconds"]) / grown for name in ("plain", "fused")}
    save("scaling", found)
    print(f"\n{text(*tables.growth(found))}")
    plots.scaling(found)
    document.write()
    return 0


def row(side: int, repeats: int) -> dict[str, Any]:
    """Plain and fused attention over side x side tokens, blur included, without projections."""
    real = {name: attention(side, name, "cpu") for name in ("plain", "fused")}
    seconds = interleaved({name: lone.both for name, lone in real.items()}, repeats)
    found: dict[str, Any] = {"tokens": side * side}
    for name in real:
        median, spread = median_and_spread(seconds[name])
        found[name] = {"seconds": median, "spread": spread, "flops": flops(attention(side, name, "meta"))}
    peaks = [live_peak(attention(side, name, "meta").attend) for name in ("plain", "fused")]
    return {**found, "extra_outputs": (peaks[1] - peaks[0]) / real["plain"].output_bytes}


def attention(side: int, name: str, device: str) -> LoneAttention:
    fusion = None if name == "plain" else FusionSettings()
    return LoneAttention(Size(WINDOW, WINDOW), Size(side, side), fusion, CHANNELS, HEADS, device=device)


def flops(lone: LoneAttention) -> int:
    with FlopCounterMode(display=False) as counter:
        lone.both()
    return counter.get_total_flops()


if __name__ == "__main__":
    sys.exit(main())
