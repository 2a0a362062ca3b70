"""Train the demo model: python3 dev.py train. Stop it any time, it goes on where it was."""

import argparse
from pathlib import Path

from tools import ROOT

THREADS = 2


def main() -> None:
    options = _options()
    # Imported late: the processes that render pictures import this file too.
    import torch

    device = torch.device(options.device)
    torch.set_num_threads(options.threads)
    torch.set_float32_matmul_precision("high")
    # Later still: the host reads the command line, too.
    from tools.demo.train.autoencoder import SCALE, train_autoencoder
    from tools.demo.train.checkpoint import save_checkpoint
    from tools.demo.train.dataset import KINDS, encode_pictures
    from tools.demo.train.decoder import train_decoder
    from tools.demo.train.start import earlier_text_encoders, earlier_vae
    from tools.demo.train.text import train_text
    from tools.demo.train.unet import phases, train_unet

    vae = earlier_vae(options.start) if options.start else train_autoencoder()
    vae = train_decoder(vae.to(device, memory_format=torch.channels_last))
    kinds = {samples.kind for phase in phases(options.start) for samples, _ in phase.shares}
    with torch.inference_mode():
        for kind in sorted(kinds, key=KINDS.index):
            encode_pictures(kind, vae, SCALE)
    text = earlier_text_encoders(options.start) if options.start else train_text()
    unet = train_unet(text, options.start, device)
    save_checkpoint(options.output, unet, text, vae, options.start)
    print(f"{options.output}: {options.output.stat().st_size / 1e6:.1f} MB")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev.py train", description=__doc__)
    parser.add_argument(
        "--start",
        type=Path,
        metavar="FILE",
        help="go on from this earlier demo model: encoders of text and images stay, UNet and decoder are "
        "trained on",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=ROOT / "tools" / "demo" / "tiny_sdxl.safetensors",
        help="default: %(default)s",
    )
    parser.add_argument(
        "--device",
        default="cpu",
        help='of VAE and UNet; "cuda" takes minutes, two CPU cores half a day (default: %(default)s)',
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=THREADS,
        help="default: %(default)s; another number gives slightly other weights",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
