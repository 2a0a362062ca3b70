"""The tailored self-cascade (paper, section 3.2): which sizes it goes through and where a stage restarts."""

from collections.abc import Sequence

from .detail_blend import TIMESTEPS
from .geometry import LATENT_CELL, MIN_SCALE, Size, scale_between, scaled

ROUNDING = 0.01
"""Timesteps by which a level that went through float32 may miss its t."""

SMALLEST_LAST_STEP = 1.25
"""A last stage that would grow the picture by less than this is merged into the one before."""


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
            f"FreeScale: expected a target at least {MIN_SCALE} times the start {start}, got {target} ({factor:.2f} times): enlarge it."
        )
    sizes = []
    reached = 2.0
    while reached * SMALLEST_LAST_STEP <= factor:
        sizes.append(scaled(target, reached / factor, multiple))
        reached *= 2.0
    return (*sizes, target)


def restart_step(timesteps: Sequence[float], restart: float) -> int:
    """K, the step at which stages >= 1 begin: the first one at t <= (1 - restart) * 1000, or else the last step.

    Decided by noise level and not by number, so that every scheduler and every kind of model restarts at the same noise.
    With the authors' 50 steps of ddim_uniform it is their K = int(0.3 * 50), at t = 681.

    Args:
        timesteps: t at which each step of the full schedule begins, descending.
        restart: share of the noise, by timestep t, that is skipped, 0 to below 1.
    """
    latest = (1.0 - restart) * TIMESTEPS + ROUNDING
    return next((step for step, t in enumerate(timesteps) if t <= latest), len(timesteps) - 1)


def ddim_uniform_timesteps(steps: int) -> Sequence[int]:
    """t at which each step of ComfyUI's ddim_uniform schedule begins: 981, 961, ... 1 for 50 steps, but 7 of them for 6."""
    return range(1, TIMESTEPS, max(TIMESTEPS // steps, 1))[::-1]
