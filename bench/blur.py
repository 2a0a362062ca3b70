"""Is the blur slower on a CPU than the convolutions it replaced? python3 dev.py bench blur --help.

Ratios of times, new over old, in turns within one run: below 1 the products are faster. The results are compared, too.
"""

import argparse
import sys
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # in place of bench/

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from einops import rearrange  # noqa: E402
from kornia.filters import get_gaussian_kernel1d  # noqa: E402
from torch import Tensor  # noqa: E402

from bench.performance.timing import interleaved, median_ratio  # noqa: E402
from freescale_core import scale_fusion  # noqa: E402
from freescale_core.geometry import Size  # noqa: E402

BYTES_OF_CONVOLUTIONS = 12
"""Temporaries per element: as many rows at once as the convolutions took."""
# Side of the token grid, channels, taps: SDXL's levels at 2k and 4k.
CASES = ((64, 640, 3), (128, 640, 3), (64, 1280, 3), (128, 640, 7))


def main() -> int:
    parser = argparse.ArgumentParser(prog="dev.py bench blur", description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7, help="rounds (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="of torch (default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with torch.inference_mode():
        for side, channels, taps in CASES:
            for over_channels in (True, False):
                ratio, difference = compared(Size(side, side), channels, taps, over_channels, options.repeats)
                axes = "3-D" if over_channels else "2-D"
                print(f"{side}x{side} tokens, {channels} channels, {taps} taps, {axes}: {ratio:.2f} (results differ by {difference:.0e})")
    return 0


def compared(grid: Size, channels: int, taps: int, over_channels: bool, repeats: int) -> tuple[float, float]:
    """Median ratio of times, and the largest difference of the results."""
    global_, local = torch.randn(2, 1, grid.area, channels, generator=torch.Generator().manual_seed(0))

    def products() -> Tensor:
        return scale_fusion.fuse_(global_.clone(), local.clone(), grid, taps, 1.0, over_channels)

    def convolutions() -> Tensor:
        with mock.patch.multiple(scale_fusion, blur_rows=by_convolutions, MOST_ROWS=grid.height, BLUR_BYTES=BYTES_OF_CONVOLUTIONS):
            return products()

    seconds = interleaved({"products": products, "convolutions": convolutions}, repeats)
    return median_ratio(seconds["products"], seconds["convolutions"]), float((products() - convolutions()).abs().max())


def by_convolutions(x: Tensor, top: int, bottom: int, taps: int, sigma: float, over_channels: bool) -> Tensor:
    """In place of `blur_rows`: depthwise convolutions over (h, w), and over the channels with a group for each token."""
    reach, (height, width, channels) = taps // 2, x.shape
    first, end = max(0, top - reach), min(height, bottom + reach)
    kernel = get_gaussian_kernel1d(taps, sigma)[0]
    image = rearrange(x[first:end].float(), "(b h) w c -> b c h w", b=1)
    for part in [torch.outer(kernel, kernel)] if taps == 3 else [kernel[None, :], kernel[:, None]]:
        image = F.conv2d(image, part.expand(channels, 1, *part.shape), padding="same", groups=channels)
    low = rearrange(image, "b c h w -> b (h w) c")
    if over_channels:
        low = F.conv1d(low, kernel.expand(low.shape[1], 1, taps), padding="same", groups=low.shape[1])
    return rearrange(low, "b (h w) c -> (b h) w 1 c", w=width)[top - first : bottom - first]


if __name__ == "__main__":
    sys.exit(main())
