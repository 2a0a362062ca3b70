"""Kernel distance (KID) of weighted pictures, unbiased. Takes kernel values, so it needs no network."""

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class KidTerms:
    """What KID needs of one set of pictures and its reference, so that any weighting of the pictures is a
    matter of microseconds.

    within: (n, n) mean kernel value between picture i and picture j, diagonal 0. across: (n,) of picture i
    with the whole reference. reference: mean over pairs of different reference pictures.
    """

    within: np.ndarray
    across: np.ndarray
    reference: float

    def value(self, weights: np.ndarray) -> float:
        """KID with picture i counted weights[i] times.

        A picture and its copy are no pair: they would not be independent.
        """
        pairs = weights.sum() ** 2 - np.square(weights).sum()
        if pairs == 0:
            return math.nan
        own = weights @ self.within @ weights / pairs
        return float(own + self.reference - 2 * (weights @ self.across) / weights.sum())


def kid_terms(made: Tensor, across: Tensor, reference: Tensor, crops: int) -> KidTerms:
    """Terms out of kernel values (n c, n c), (n c, m c), (m c, m c), c crops in a row for each picture.

    Crops of one picture are no pair either.
    """
    within, between, known = (_by_picture(kernel, crops) for kernel in (made, across, reference))
    np.fill_diagonal(within, 0.0)
    np.fill_diagonal(known, 0.0)
    count = len(known)
    return KidTerms(within, between.mean(axis=1), float(known.sum() / (count * (count - 1))))


def _by_picture(kernel: Tensor, crops: int) -> np.ndarray:
    n, m = (side // crops for side in kernel.shape)
    return kernel.reshape(n, crops, m, crops).mean(dim=(1, 3)).numpy().copy()
