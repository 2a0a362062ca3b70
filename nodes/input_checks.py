"""Checks that several nodes share; each failure is one sentence: expected, got, what to do."""

from torch import Tensor

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


def expect_vae(node: str, vae: object) -> None:
    """A checkpoint without a VAE gives a VAE object without a network; loaders of other packs give None."""
    if vae is None or getattr(vae, "first_stage_model", vae) is None:
        raise ValueError(f"{node} expects a VAE, got none: this checkpoint has none, so load one with Load VAE.")


def expect_choice(node: str, choices: list[str], got: str) -> None:
    """Older hosts do not check combos themselves."""
    if got not in choices:
        raise ValueError(f"{node} expects one of {', '.join(choices)}, got {got}: choose one of the list.")


def expect_channels(node: str, channels: int, latent: Tensor) -> None:
    """A latent (b, c, h, w) must come from a VAE of the model's kind."""
    if latent.ndim != 4:
        raise ValueError(f"{node} expects a latent of pictures with 4 axes, got {latent.ndim}: connect one of an image model.")
    if latent.shape[1] != channels:
        raise ValueError(
            f"{node} expects a latent with {channels} channels, got {latent.shape[1]}: encode the picture with this model's VAE."
        )


def expect_mask(node: str, mask: object) -> Tensor:
    """A MASK as (b, h, w) in 0..1; (h, w) is one of them."""
    if not isinstance(mask, Tensor) or not mask.is_floating_point() or mask.ndim not in (2, 3) or 0 in mask.shape:
        got = f"shape {tuple(mask.shape)} of {mask.dtype}" if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(
            f"{node} expects a mask of shape (pictures, height, width) with floating-point values, got {got}: connect another mask."
        )
    return mask.float().reshape(-1, *mask.shape[-2:]).clamp(0, 1)
