"""UNet training: eps-prediction on SDXL's schedule, first at 128 px, then at 256 px."""

import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from einops import rearrange

from tools.demo.train.dataset import KINDS, LoadedSamples, Samples, all_captions
from tools.demo.train.device import device_of
from tools.demo.train.host import new_unet, openaimodel
from tools.demo.train.pictures import WORK
from tools.demo.train.saving import save
from tools.demo.train.start import earlier_unet
from tools.demo.train.text import encode, tokenize

KIND = {kind.name: kind for kind in KINDS}
CAPTION_DROPOUT = 0.1
KEEP_EVERY = 200


@dataclass(frozen=True)
class Phase:
    """shares: (samples, how often a picture is one of them).

    After `flat` of the steps, lr falls to `last_lr` along a half cosine.
    """

    name: str
    steps: int
    batch: int
    lr: float
    last_lr: float
    flat: float
    ema: float
    shares: tuple[tuple[Samples, float], ...]


PHASES = (
    Phase(
        "at_128",
        2600,
        16,
        1e-3,
        6e-4,
        0.6,
        0.995,
        (
            (Samples(KIND["whole_128"], (16, 16), zoomed=False), 0.55),
            (Samples(KIND["whole_256"], (16, 16), zoomed=True), 0.15),
            (Samples(KIND["small"], (16, 16), zoomed=True), 0.05),
            (Samples(KIND["zoom_2"], (16, 16), zoomed=True), 0.15),
            (Samples(KIND["zoom_4"], (16, 16), zoomed=True), 0.10),
        ),
    ),
    Phase(
        "at_256",
        4000,
        40,
        3e-4,
        5e-6,
        0.0,
        0.998,
        (
            (Samples(KIND["whole_256"], (32, 32), zoomed=False), 0.40),
            (Samples(KIND["small"], (32, 32), zoomed=False), 0.05),
            (Samples(KIND["zoom_1.5"], (32, 32), zoomed=True), 0.12),
            (Samples(KIND["zoom_2"], (32, 32), zoomed=True), 0.16),
            (Samples(KIND["zoom_4"], (32, 32), zoomed=True), 0.11),
            (Samples(KIND["zoom_2"], (32, 32), zoomed=True, close_up=True), 0.04),
            (Samples(KIND["wide"], (24, 40), zoomed=False), 0.06),
            (Samples(KIND["tall"], (40, 24), zoomed=False), 0.06),
        ),
    ),
)
LATE = 700
"""Below this timestep, about where FreeScale takes a stage up again, half of the cuts carry a whole picture's
size numbers: there the picture itself shows how large the thing is, and the later stages, which keep the base
size's numbers, need a model that looks."""


def schedule() -> torch.Tensor:
    """SDXL's alpha bar (1000,): the scaled linear betas of 0.00085..0.012."""
    return torch.cumprod(
        1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2, dim=0
    ).float()


def train_unet(
    text: torch.nn.Module, start: Path | None, device: torch.device, seed: int = 0
) -> dict[str, torch.Tensor]:
    """Both phases, or the last one from an earlier checkpoint; each goes on from its newest saved state.

    Returns the averaged weights.
    """
    torch.manual_seed(seed)
    unet = new_unet().to(device)
    conditions = [part.detach() for part in _encode_captions(text)]
    weights = earlier_unet(start, set(unet.state_dict())) if start else None
    for phase in phases(start):
        weights = _train_phase(unet, phase, conditions, seed + PHASES.index(phase), weights)
    return weights


def phases(start: Path | None) -> tuple[Phase, ...]:
    """What is trained: an earlier checkpoint needs no lessons at 128 px."""
    return PHASES[1:] if start else PHASES


def _train_phase(
    unet: torch.nn.Module, phase: Phase, conditions: list[torch.Tensor], seed: int, start: dict | None
) -> dict[str, torch.Tensor]:
    path = WORK / f"unet_{phase.name}.pt"
    if start is not None:
        unet.load_state_dict(start)
    optimizer = torch.optim.AdamW(
        unet.parameters(), lr=phase.lr, betas=(0.9, 0.99), weight_decay=0.01, fused=True
    )
    current = unet.state_dict()
    average = {name: value.clone() for name, value in current.items()}
    draw, first = torch.Generator().manual_seed(seed), 0
    if path.exists():
        saved = torch.load(path, map_location=device_of(unet))
        unet.load_state_dict(saved["unet"])
        optimizer.load_state_dict(saved["optimizer"])
        average, first = saved["average"], saved["step"]
        draw.set_state(saved["draw"].cpu())
    if first == phase.steps:
        return average
    shares = [(samples.load(), share) for samples, share in phase.shares]
    running, clock = 0.0, time.monotonic()
    unet.train()
    for step in range(first, phase.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(phase, step)
        loss = _loss(unet, phase, shares, conditions, draw)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        decay = min(phase.ema, (step + 1) / (step + 10))
        torch._foreach_lerp_(list(average.values()), list(current.values()), 1 - decay)
        running += loss.detach()  # its number is not asked for: a GPU would be waited for
        if (step + 1) % 50 == 0:
            pace = (time.monotonic() - clock) / 50
            left = pace * (phase.steps - step) / 60
            print(
                f"{phase.name} {step + 1}/{phase.steps} loss {running / 50:.4f} {pace:.2f} s a step, "
                f"{left:.0f} min left",
                flush=True,
            )
            running, clock = 0.0, time.monotonic()
        if (step + 1) % KEEP_EVERY == 0 or step + 1 == phase.steps:
            state = {
                "unet": unet.state_dict(),
                "optimizer": optimizer.state_dict(),
                "average": average,
                "step": step + 1,
                "draw": draw.get_state(),
            }
            save(state, path)
    return average


def learning_rate(phase: Phase, step: int) -> float:
    warm = min(1.0, (step + 1) / 100)
    done = max(0.0, step / phase.steps - phase.flat) / (1 - phase.flat)
    return warm * (phase.last_lr + (phase.lr - phase.last_lr) * (1 + math.cos(math.pi * done)) / 2)


def _loss(
    unet: torch.nn.Module,
    phase: Phase,
    shares: list[tuple[LoadedSamples, float]],
    conditions: list[torch.Tensor],
    draw: torch.Generator,
) -> torch.Tensor:
    latent, captions, numbers = _batch(phase, shares, draw)
    contexts, pooled = conditions
    empty, device = len(contexts) - 1, device_of(unet)
    captions = torch.where(torch.rand(len(captions), generator=draw) < CAPTION_DROPOUT, empty, captions)
    t = torch.randint(1000, (len(latent),), generator=draw)
    late = (t < LATE) & (torch.rand(len(t), generator=draw) < 0.5)
    target = numbers[:, 4:]
    whole = torch.cat((target, torch.zeros_like(target), target), dim=1)
    numbers = torch.where(late[:, None], whole, numbers)
    alpha = schedule()[t][:, None, None, None]
    noise = torch.randn(latent.shape, generator=draw)
    vector = torch.cat((pooled[captions], size_embedding(numbers)), dim=1)
    predicted = unet(
        (alpha.sqrt() * latent + (1 - alpha).sqrt() * noise).to(device),
        t.float().to(device),
        context=contexts[captions].to(device),
        y=vector.to(device),
        transformer_options={},
    )
    snr = alpha.flatten() / (1 - alpha.flatten())
    weight = (snr + 0.15).clamp(max=5) / snr
    return (weight.to(device) * (predicted - noise.to(device)).square().mean(dim=(1, 2, 3))).mean()


def _batch(
    phase: Phase, shares: list[tuple[LoadedSamples, float]], draw: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A batch of one size: each picture's kind is drawn, kinds of other cuts than the first drawn one's are
    left out."""
    odds = torch.tensor([share for _, share in shares])
    first = int(torch.multinomial(odds, 1, generator=draw))
    cut = shares[first][0].samples.cut
    fitting = torch.tensor([share if loaded.samples.cut == cut else 0.0 for loaded, share in shares])
    kinds = torch.multinomial(fitting, phase.batch, replacement=True, generator=draw)
    parts = [shares[kind][0].draw(int((kinds == kind).sum()), draw) for kind in kinds.unique().tolist()]
    latents, captions, numbers = (torch.cat(part) for part in zip(*parts, strict=True))
    return latents, captions, numbers


def size_embedding(numbers: torch.Tensor) -> torch.Tensor:
    """SDXL's six size numbers (n, 6) -> (n, 6 * 256)."""
    flat = openaimodel.timestep_embedding(rearrange(numbers, "n s -> (n s)").float(), 256)
    return rearrange(flat, "(n s) c -> n (s c)", s=numbers.shape[1])


def _encode_captions(text: torch.nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """Context and pooled vector of every caption, the empty one last."""
    captions = [*all_captions(), ""]
    parts = [encode(text, tokenize(captions[i : i + 64])) for i in range(0, len(captions), 64)]
    return torch.cat([context for context, _ in parts]), torch.cat([pooled for _, pooled in parts])
