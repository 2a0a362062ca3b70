"""What does it cost to keep attention's temporaries within half an output? python3 dev.py bench attention_bound --help.

Ratios of times, half an output over a whole one, in turns within one run, at SDXL's real widths and twice the base size.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # in place of bench/

import tests.host.conftest  # noqa: E402, F401, I001 (the host, then the pack, ready for use in this process)

# isort: split
import torch  # noqa: E402
from freescale_pack.freescale_core.geometry import Size  # noqa: E402
from freescale_pack.nodes import fused_attention  # noqa: E402

from bench.performance.attention import LoneAttention  # noqa: E402
from bench.performance.counting import VARIANTS  # noqa: E402
from bench.performance.timing import interleaved, median_ratio  # noqa: E402

MODES = ("exact, 3-D", "fast, 3-D", "fast neighbourhoods, 3-D")
LEVELS = ((32, 1280, 20), (64, 640, 10))
"""Side of the window in tokens, channels, heads."""
HALF, WHOLE = 2, 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="dev.py bench attention_bound", description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="rounds (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="of torch (default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with torch.inference_mode():
        for mode in MODES:
            for window, channels, heads in LEVELS:
                block = LoneAttention(Size(window, window), Size(2 * window, 2 * window), VARIANTS[mode], channels, heads)
                seconds = interleaved({share: bounded(block, share) for share in (HALF, WHOLE)}, options.repeats)
                ratio = median_ratio(seconds[HALF], seconds[WHOLE])
                print(f"{mode}, {2 * window}x{2 * window} tokens, {channels} channels: {ratio:.3f}", flush=True)
    return 0


def bounded(block: LoneAttention, share: int) -> Callable[[], object]:
    """A call with temporaries of one part in `share` of an output."""

    def call() -> object:
        with mock.patch.object(fused_attention, "OUTPUT_SHARE", share):
            return block.both()

    return call


if __name__ == "__main__":
    sys.exit(main())
