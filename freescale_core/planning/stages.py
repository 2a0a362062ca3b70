"""The sizes that the tailored self-cascade goes through (paper, section 3.2)."""

from ..geometry import LATENT_CELL, MIN_SCALE, Size, scale_between, scaled

SMALLEST_LAST_STEP = 1.25
"""A last stage that would grow the image by less than this is merged into the one before."""


def doubling_stages(start: Size, target: Size, multiple: int = LATENT_CELL) -> tuple[Size, ...]:
    """Sizes of stages 1, 2, ...: twice `start`, four times, ..., ending exactly at `target`.

    Args:
        start, target: pixels. multiple: sides of the stages between are rounded to it (8 = one latent cell).

    Raises:
        ValueError: target is less than 1.1 times start.

    >>> doubling_stages(Size(1024, 1024), Size(3072, 3072))
    (Size(height=2048, width=2048), Size(height=3072, width=3072))
    """
    factor = scale_between(start, target)
    if factor < MIN_SCALE:
        raise ValueError(
            f"FreeScale: expected a target at least {MIN_SCALE} times the start {start}, got {target} "
            f"({factor:.2f} times): enlarge it."
        )
    sizes = []
    reached = 2.0
    while reached * SMALLEST_LAST_STEP <= factor:
        sizes.append(scaled(target, reached / factor, multiple))
        reached *= 2.0
    return (*sizes, target)
