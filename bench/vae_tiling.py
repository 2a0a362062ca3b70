"""What do VAE tiles change? python3 dev.py bench vae_tiling --help.

Decodes and encodes one picture whole and in the host's tiles, on a VAE of SDXL's full size with random weights.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # in place of bench/

import tests.host.conftest  # noqa: E402, F401, I001 (the host, then the pack, ready for use in this process)

# isort: split
import comfy.ops  # noqa: E402
import comfy.sd  # noqa: E402
import torch  # noqa: E402
from comfy.ldm.models.autoencoder import AutoencoderKL  # noqa: E402
from freescale_pack.nodes import vae_stage  # noqa: E402
from torch import Tensor  # noqa: E402

from bench.performance import document, tables  # noqa: E402
from bench.performance.configs import VAE  # noqa: E402
from bench.performance.results import save, text  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(prog="dev.py bench vae_tiling", description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=256, help="of the picture in pixels (default: %(default)s)")
    parser.add_argument("--tiles", type=int, nargs="+", default=[64, 128], help="sides in pixels (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="of torch (default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with torch.inference_mode():
        vae = random_vae()
        latent = torch.randn(1, 4, options.side // 8, options.side // 8, generator=torch.Generator().manual_seed(0))
        picture = torch.rand(1, options.side, options.side, 3, generator=torch.Generator().manual_seed(1))
        rows = [
            row(direction, options.side, tile, whole, run(vae, given, tile))
            for direction, run, given in (("decode", decoded, latent), ("encode", encoded, picture))
            for whole in (run(vae, given, None),)
            for tile in options.tiles
        ]
    save("vae_tiling", {"rows": rows})
    print(f"\n{text(*tables.tiling({'rows': rows}))}")
    document.write()
    return 0


def random_vae() -> Any:
    """Weights as torch draws them for new layers (the host's own layers leave them open), the same in every run."""
    model = AutoencoderKL(ddconfig=VAE, embed_dim=4)
    generator = torch.Generator().manual_seed(0)
    for name, weights in model.named_parameters():
        if weights.ndim > 1:
            torch.nn.init.kaiming_uniform_(weights, 5**0.5, generator=generator)
        else:
            weights.fill_(float(name.endswith("weight")))  # norms 1, biases 0
    return comfy.sd.VAE(sd=model.state_dict())


def decoded(vae: Any, latent: Tensor, tile: int | None) -> Tensor:
    return vae.decode(latent) if tile is None else vae_stage.decode_tiled(vae, latent, tile)


def encoded(vae: Any, picture: Tensor, tile: int | None) -> Tensor:
    return vae.encode(picture) if tile is None else vae_stage.encode_tiled(vae, picture, tile)


def row(direction: str, side: int, tile: int, whole: Tensor, tiled: Tensor) -> dict[str, Any]:
    difference = (tiled - whole) / whole.std()
    print(f"  {direction} in tiles of {tile}", flush=True)
    return {
        "direction": direction,
        "side": side,
        "tile": tile,
        "max": float(difference.abs().max()),
        "mean": float(difference.abs().mean()),
        "shift": float(difference.mean()),
    }


if __name__ == "__main__":
    sys.exit(main())
