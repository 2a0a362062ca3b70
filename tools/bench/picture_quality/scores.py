"""The figures of one table: every method by every measure, with intervals, and its difference from
FreeScale."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from tools.bench.picture_quality.features import features, frechet, kernel
from tools.bench.picture_quality.intervals import Statistic, interval, mean_of
from tools.bench.picture_quality.kid import kid_terms
from tools.bench.picture_quality.measures import OURS, Figure
from tools.bench.picture_quality.metrics import consistency, repetition, resized, sharpness
from tools.bench.picture_quality.settings import Group


@dataclass(frozen=True)
class Row:
    """Pictures of one method, (1, 3, h, w) each. bases: their base pictures, or None for a row that has
    none."""

    pictures: Sequence[Tensor]
    bases: Sequence[Tensor] | None


@dataclass(frozen=True)
class Reference:
    """What rows are compared with: the model's own base pictures (of other seeds), and true renders at the
    target size."""

    whole: Tensor
    crops: Tensor

    @classmethod
    def of(cls, bases: Sequence[Tensor], renders: Sequence[Tensor], group: Group) -> "Reference":
        return cls(whole_features(bases, group), crop_features(renders, group))


def figures(
    group: Group, rows: dict[str, Row], prompts: Sequence[str], reference: Reference
) -> dict[str, dict[str, Figure]]:
    """rows: all over the same prompts and seeds, in one order; prompts: the prompt of each picture.

    Differences are from row "full", which is FreeScale, unless the method names another.
    """
    known: dict[str, dict[str, float | Statistic]] = {}
    for name, row in rows.items():
        known[name] = _statistics(group, row, reference)
        print(f"  judged {group.name} {name}", flush=True)
    weights = np.ones(len(prompts))
    others = {name: known[group.methods[name].against if name in group.methods else OURS] for name in rows}
    return {
        name: {
            measure: _figure(value, others[name].get(measure), weights, prompts)
            for measure, value in found.items()
        }
        for name, found in known.items()
    }


def _figure(
    value: float | Statistic, ours: float | Statistic | None, weights: np.ndarray, prompts: Sequence[str]
) -> Figure:
    if not callable(value):
        return Figure(value)
    shown, difference = value(weights), None
    if callable(ours) and ours is not value:
        less: Statistic = lambda w: value(w) - ours(w)  # noqa: E731
        difference = (less(weights), *interval(less, prompts))
    return Figure(shown, interval(value, prompts), difference)


def _statistics(group: Group, row: Row, reference: Reference) -> dict[str, float | Statistic]:
    found: dict[str, float | Statistic] = {}
    whole = whole_features(row.pictures, group)
    found["kid"], found["fd"] = _kid(whole, reference.whole, 1), frechet(reference.whole, whole)
    if row.pictures[0].shape[2:] == group.target[::-1]:
        crops = crop_features(row.pictures, group)
        found["kid_crops"] = _kid(crops, reference.crops, crops_per_picture(group))
        found["fd_crops"] = frechet(reference.crops, crops)
        found["sharpness"] = mean_of([sharpness(picture, group.base[::-1]) for picture in row.pictures])
    if row.bases is not None:
        for name, measure in (("repetition", repetition), ("consistency", consistency)):
            found[name] = mean_of(
                [measure(picture, base) for picture, base in zip(row.pictures, row.bases, strict=True)]
            )
    return found


def _kid(made: Tensor, reference: Tensor, crops: int) -> Statistic:
    return kid_terms(kernel(made, made), kernel(made, reference), kernel(reference, reference), crops).value


def crops_per_picture(group: Group) -> int:
    return (group.target[0] // group.base[0]) * (group.target[1] // group.base[1])


def whole_features(pictures: Sequence[Tensor], group: Group) -> Tensor:
    """(n, FEATURES) of pictures shrunk to the base size."""
    return _in_turn(pictures, lambda picture: resized(picture, group.base[::-1]))


def crop_features(pictures: Sequence[Tensor], group: Group) -> Tensor:
    """(n crops, FEATURES) of pictures cut into tiles of the base size, as they are."""
    width, height = group.base
    return _in_turn(
        pictures, lambda picture: rearrange(picture, "1 c (y h) (x w) -> (y x) c h w", h=height, w=width)
    )


def _in_turn(pictures: Sequence[Tensor], prepare: Callable[[Tensor], Tensor]) -> Tensor:
    return torch.cat([features(prepare(picture)) for picture in pictures])
