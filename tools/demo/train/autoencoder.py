"""VAE training: TAESD's layout, which the stock loader knows, with latents scaled for SDXL.

Encoder and decoder learn together, then the mean and spread of the latents are measured. decoder.py goes on
with the decoder alone.
"""

import math
import time

import numpy as np
import torch
from einops import rearrange

from tools.demo.train.concepts import CONCEPTS, PLACES
from tools.demo.train.host import TAESD, new_autoencoder
from tools.demo.train.pictures import WORK, render_picture
from tools.demo.train.saving import save

SCALE = 0.13025
"""SDXL's latent scale: the host multiplies encoded pictures by it."""
CUT = 96  # px
BATCH = 8
STEPS = 6000
SOURCES = (256, 512, 1024)
KEEP_EVERY = 200


def train_autoencoder(seed: int = 0) -> TAESD:
    torch.manual_seed(seed)
    vae = new_autoencoder()
    _train(vae, seed)
    _measure_latents(vae)
    return vae.eval().requires_grad_(False)


def _train(vae: TAESD, seed: int) -> None:
    path, first = WORK / "vae.pt", 0
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=5e-4, betas=(0.9, 0.99))
    if path.exists():
        saved = torch.load(path, weights_only=False)
        vae.load_state_dict(saved["vae"])
        optimizer.load_state_dict(saved["optimizer"])
        rng, first = saved["rng"], saved["step"]
    vae.to(memory_format=torch.channels_last)
    running, clock = 0.0, time.monotonic()
    for step in range(first, STEPS):
        for group in optimizer.param_groups:
            group["lr"] = (
                5e-4 * min(1, (step + 1) / 100) * (0.01 + 0.99 * (1 + math.cos(math.pi * step / STEPS)) / 2)
            )
        pixels = _cuts(rng)
        shown = vae.taesd_decoder(vae.taesd_encoder(pixels))
        loss = (
            (shown - pixels).abs().mean()
            + 0.5 * _edges(shown - pixels).abs().mean()
            + 4 * (shown - pixels).square().mean()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        running += (shown - pixels).square().mean().item()
        if (step + 1) % 100 == 0:
            pace = (time.monotonic() - clock) / 100
            print(
                f"vae {step + 1}/{STEPS} PSNR {-10 * math.log10(running / 100):.2f} dB {pace:.2f} s a step",
                flush=True,
            )
            running, clock = 0.0, time.monotonic()
        if (step + 1) % KEEP_EVERY == 0 or step + 1 == STEPS:
            save(
                {"vae": vae.state_dict(), "optimizer": optimizer.state_dict(), "rng": rng, "step": step + 1},
                path,
            )


def _cuts(rng: np.random.Generator) -> torch.Tensor:
    """Random cuts (BATCH, 3, CUT, CUT) of four random pictures."""
    cuts = []
    for _ in range(4):
        side = int(rng.choice(SOURCES, p=(0.6, 0.3, 0.1)))
        picture = render_picture(
            str(rng.choice(list(CONCEPTS))), str(rng.choice(PLACES)), side, seed=int(rng.integers(2**31))
        )
        for _ in range(BATCH // 4):
            top, left = rng.integers(0, side - CUT + 1, size=2)
            cuts.append(picture[top : top + CUT, left : left + CUT])
    pixels = rearrange(torch.from_numpy(np.stack(cuts)), "b h w c -> b c h w").float() / 255
    return pixels.contiguous(memory_format=torch.channels_last)


def _edges(x: torch.Tensor) -> torch.Tensor:
    """Differences of neighbours: what makes an edge sharp or soft."""
    return torch.cat((x.diff(dim=-1)[..., 1:, :].flatten(), x.diff(dim=-2)[..., :, 1:].flatten()))


@torch.inference_mode()
def _measure_latents(vae: TAESD) -> None:
    """Set scale and shift so that latents times SCALE have mean 0 and standard deviation 1."""
    rng = np.random.default_rng(1)
    latents = torch.cat([vae.taesd_encoder(_cuts(rng)) for _ in range(50)])
    vae.vae_scale.fill_(latents.std() * SCALE)
    vae.vae_shift.fill_(-latents.mean() / vae.vae_scale)
