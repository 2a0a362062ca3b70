"""Gives the factors on the logits of attention that keep it as sharp over more tokens than in training."""

import math

CINESCALE_TOKENS = 3600
"""Tokens of one 1280 x 720 frame of Wan (45 x 80)."""
CINESCALE_COEFFICIENTS = ((20000, 2.0), (10000, 1.5))
"""(tokens of a frame above which it counts, coefficient), the largest first."""


def sqrt_log_ratio(tokens: int, base_tokens: int) -> float:
    """sqrt(log n / log n0), never below 1 (Jin et al., arXiv 2306.08645)."""
    if tokens <= base_tokens or base_tokens < 2:
        return 1.0
    return math.sqrt(math.log(tokens) / math.log(base_tokens))


def cinescale_factor(tokens_per_frame: float) -> float:
    """log_3600(3600 * coefficient) for frames of many tokens, else 1 (CineScale's first release).

    >>> round(cinescale_factor(18360), 5)
    1.04952
    """
    for above, coefficient in CINESCALE_COEFFICIENTS:
        if tokens_per_frame > above:
            return math.log(CINESCALE_TOKENS * coefficient, CINESCALE_TOKENS)
    return 1.0
