"""Encoded training pictures. A sample is a cut of a picture's latent, so one encoded picture gives many.

The model must know close-ups, since FreeScale's later stages show it parts of a thing at the size of a whole
one. So every concept is also drawn 1.5, 2 and 4 times larger than the training size, and cuts of it carry
SDXL's true size and crop numbers.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from einops import rearrange

from tools.demo.train.concepts import CONCEPTS, PLACES, SIZES, caption
from tools.demo.train.device import device_of
from tools.demo.train.pictures import WORK, Drawing, render_pictures

CELL = 8
MARGIN = 32
"""px around a whole picture, from which cuts are taken at several places: the thing is not always at the same
spot."""


@dataclass(frozen=True)
class Kind:
    """One kind of picture. side: px of the cut that shows the whole picture. drawn: px (height, width) that
    are drawn and encoded."""

    name: str
    drawn: tuple[int, int]
    whole: tuple[int, int]
    fill: float
    size: str
    places: int  # how many places a concept is drawn in
    copies: int = 1


KINDS = (
    Kind("whole_128", (144, 144), (128, 128), 0.88, "", len(PLACES), 2),
    Kind("whole_256", (288, 288), (256, 256), 0.88, "", len(PLACES), 2),
    Kind("small", (256, 256), (256, 256), 0.45, "small ", len(PLACES)),
    Kind("zoom_1.5", (384, 384), (384, 384), 0.9, "", 4),
    Kind("zoom_2", (512, 512), (512, 512), 0.9, "", 7),
    Kind("zoom_4", (1024, 1024), (1024, 1024), 0.9, "", 2),
    Kind("wide", (192, 320), (192, 320), 0.92, "", 4),
    Kind("tall", (320, 192), (320, 192), 0.92, "", 4),
)


def encode_pictures(kind: Kind, vae: torch.nn.Module, scale: float) -> None:
    """Draw and encode the pictures of a kind into its file: latents (n, 4, h, w) fp16, scaled for the UNet;
    labels (n, 3)."""
    path = latent_file(kind)
    if path.exists():
        return
    latents, labels, device = [], [], device_of(vae)
    fill = kind.fill * kind.whole[0] / kind.drawn[0]
    drawings = [Drawing(*pair, kind.drawn, _seed(kind, row), fill) for row, pair in enumerate(_pairs(kind))]
    for drawing, picture in zip(drawings, render_pictures(drawings), strict=True):
        pixels = rearrange(torch.from_numpy(picture), "h w c -> 1 c h w").to(device).float() / 255 * 2 - 1
        latents.append((vae.encode(pixels) * scale)[0].half().cpu().numpy())
        places = (list(CONCEPTS).index(drawing.concept), PLACES.index(drawing.place))
        labels.append((*places, SIZES.index(kind.size)))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.npz")
    np.savez(part, latents=np.stack(latents), labels=np.asarray(labels))
    part.rename(path)
    print(f"encoded {len(latents)} pictures of kind {kind.name}", flush=True)


def latent_file(kind: Kind) -> Path:
    return WORK / "latents" / f"{kind.name}.npz"


def _pairs(kind: Kind) -> list[tuple[str, str]]:
    """Concept and place of each picture.

    Kinds with fewer places than there are take them in turn, so all of them are seen.
    """
    pairs = []
    for row, concept in enumerate(CONCEPTS):
        for column in range(kind.places * kind.copies):
            pairs.append(
                (concept, PLACES[(row * 5 + column * (1 if kind.places == len(PLACES) else 3)) % len(PLACES)])
            )
    return pairs


def _seed(kind: Kind, number: int) -> int:
    return KINDS.index(kind) * 100_000 + number


@dataclass(frozen=True)
class Samples:
    """Random cuts of the pictures of one kind. cut: latent cells (height, width). zoomed: the cut shows a
    part of the picture."""

    kind: Kind
    cut: tuple[int, int]
    zoomed: bool
    close_up: bool = False
    """Call it a close-up: said in the caption, and the size numbers are those of a whole picture, as in a
    photo collection."""

    def load(self) -> "LoadedSamples":
        with np.load(latent_file(self.kind)) as file:
            return LoadedSamples(self, torch.from_numpy(file["latents"]), torch.from_numpy(file["labels"]))


@dataclass(frozen=True)
class LoadedSamples:
    samples: Samples
    latents: torch.Tensor
    labels: torch.Tensor

    def draw(self, count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Latents (count, 4, *cut), caption numbers (count,), sizes (count, 6): height, width, crop top,
        left, target height, width."""
        spec = self.samples
        index = torch.randint(len(self.latents), (count,), generator=generator)
        room = [full - cut for full, cut in zip(self.latents.shape[-2:], spec.cut, strict=True)]
        corners = torch.stack(
            [torch.randint(free + 1, (count,), generator=generator) for free in room], dim=1
        )
        height, width = spec.cut
        cuts = [
            self.latents[i, :, top : top + height, left : left + width]
            for i, (top, left) in zip(index.tolist(), corners.tolist(), strict=True)
        ]
        target = torch.tensor(spec.cut).expand(count, 2) * CELL
        if spec.zoomed and not spec.close_up:
            numbers = torch.cat(
                (torch.tensor(spec.kind.whole).expand(count, 2), corners * CELL, target), dim=1
            )
        else:
            numbers = torch.cat((target, torch.zeros(count, 2, dtype=torch.long), target), dim=1)
        labels = self.labels[index].clone()
        if spec.close_up:
            labels[:, 2] = SIZES.index("close-up of ")
        return torch.stack(cuts).float(), caption_number(labels), numbers


def caption_number(labels: torch.Tensor) -> torch.Tensor:
    """Place in CAPTIONS of labels (n, 3): concept, place, size."""
    concept, place, size = labels.unbind(-1)
    return (size * len(CONCEPTS) + concept) * len(PLACES) + place


def all_captions() -> list[str]:
    return [caption(concept, place, size) for size in SIZES for concept in CONCEPTS for place in PLACES]
