"""Checks that several nodes share; each failure is one sentence: expected, got, what to do."""

from ..freescale_core.geometry import Size


def expect_one(node: str, latent: object, image: object) -> None:
    """Exactly one of latent and image must be connected."""
    if (latent is None) == (image is None):
        got = "neither: connect one of them" if latent is None else "both: disconnect one of them"
        raise ValueError(f"{node} expects either a latent or an image, got {got}.")


def size_or_none(width: int, height: int, what: str) -> Size | None:
    """The size two widgets say, None when both are 0; one alone is an error."""
    if (width == 0) != (height == 0):
        raise ValueError(f"FreeScale expects both sides of the {what} or neither, got {width}x{height}: set both, or both to 0.")
    return Size(height, width) if width else None
