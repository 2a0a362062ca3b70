"""Checks that several nodes share; each failure is one sentence: expected, got, what to do."""

import numbers
from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ..freescale_core.geometry import LATENT_CELL, MAX_SIDE, Size
from ..freescale_core.planning.plan import shortened
from .host.releases import wrong_link


def expect_one(node: str, latent: object, image: object) -> None:
    """Exactly one of latent and image must be connected."""
    if (latent is None) == (image is None):
        got = "neither: connect one of them" if latent is None else "both: disconnect one of them"
        raise ValueError(f"{node} expects either a latent or an image, got {got}.")


def link_problem(
    schema: io.Schema, linked: dict[str, str], latent_input: str, image_input: str
) -> str | None:
    """What is wrong with the links of a node that starts from a latent or an image, before anything runs.

    linked: input -> type of what is linked. latent_input, image_input: the two of which exactly one is
    needed.
    """
    wrong = wrong_link(schema, linked)
    if wrong is not None:
        return wrong
    # Both are told in the run: a switch may give None for one of them.
    if latent_input not in linked and image_input not in linked:
        return f"{schema.display_name} expects either a latent or an image, got neither: connect one of them."
    return None


def size_or_none(width: int, height: int, what: str) -> Size | None:
    """The size two widgets say, None when both are 0; one alone is an error."""
    if (width == 0) != (height == 0):
        raise ValueError(
            f"FreeScale expects both sides of the {what} or neither, got {width}x{height}: set both, or both "
            "to 0."
        )
    return Size(height, width) if width else None


def is_vae(vae: object) -> bool:
    """A checkpoint without a VAE gives a VAE object without a network; loaders of other packs give None."""
    return vae is not None and getattr(vae, "first_stage_model", vae) is not None


def expect_vae(node: str, vae: object) -> None:
    """Raise ValueError unless `vae` is one."""
    if not is_vae(vae):
        raise ValueError(
            f"{node} expects a VAE, got none: this checkpoint has none, so load one with Load VAE."
        )


def expect_inputs(schema: Any, **values: Any) -> None:
    """Values that the inputs of a node take.

    ComfyUI checks what is typed in, but not what another node gives.
    """
    inputs = {given.id: given for given in schema.inputs}
    for name, value in values.items():
        _expect_input(schema.display_name, inputs[name], value)


def _expect_input(node: str, given: Any, value: Any) -> None:
    if isinstance(given, io.Combo.Input):
        expect_choice(node, given.options, value)
    elif isinstance(given, io.Int.Input | io.Float.Input):
        expect_number(node, given, value, str(value) if isinstance(value, numbers.Real) else _shown(value))
    elif isinstance(given, io.String.Input):
        if not isinstance(value, str):
            raise ValueError(f"{node} expects a text for {given.id}, got {_shown(value)}: connect a text.")
    elif value is None or (isinstance(value, list) and not value):
        raise ValueError(f"{node} expects a {given.io_type} for {given.id}, got none: connect one.")


def expect_choice(node: str, choices: list[str], got: object) -> None:
    """Older hosts do not check combos themselves."""
    if not isinstance(got, str) or got not in choices:
        shown = shortened(got) if isinstance(got, str) else _shown(got)
        raise ValueError(f"{node} expects one of {', '.join(choices)}, got {shown}: choose one of the list.")


def expect_number(node: str, widget: Any, value: Any, got: str) -> None:
    """Raise ValueError unless a number lies within the widget's limits.

    NaN lies outside of all limits, as any comparison with it is False. numpy's numbers are numbers, a bool is
    none here.
    """
    kind, wanted = (
        (numbers.Integral, "a whole number")
        if isinstance(widget, io.Int.Input)
        else (numbers.Real, "a number")
    )
    if not isinstance(value, kind) or isinstance(value, bool) or not widget.min <= value <= widget.max:
        raise ValueError(
            f"{node} expects {widget.id} from {widget.min} to {widget.max}, got {shortened(got)}: choose "
            f"{wanted} in between."
        )


def expect_cells(node: str, what: str, size: Size | None, least: int) -> None:
    """Raise ValueError unless a size in pixels, if one is set, fills whole latent cells.

    Its sides must be at least `least`.
    """
    if size and (min(size) < least or any(side % LATENT_CELL for side in size)):
        raise ValueError(
            f"{node} expects the {what} in multiples of {LATENT_CELL} pixels from {least} on, got {size}: "
            "choose such a size."
        )


def expect_whole_cell(node: str, size: Size, cell: int) -> None:
    """An image that is encoded as it is must fill a latent cell: a VAE crops what fills none."""
    if min(size) < cell:
        raise ValueError(
            f"{node} expects an image of at least {cell}x{cell} pixels where it is enlarged as a latent, got "
            f"{size}: choose a method for images."
        )


def expect_result_size(node: str, size: Size) -> None:
    """No side may be above ComfyUI's own limit."""
    if max(size) > MAX_SIDE:
        raise ValueError(
            f"{node} expects a result of at most {MAX_SIDE} pixels a side, got {size}: choose a smaller "
            "factor."
        )


def expect_latent(node: str, latent: Any, videos: bool = False) -> None:
    """A LATENT holds images (b, c, h, w) and perhaps a noise mask, both of finite numbers.

    videos: whether those (b, c, t, h, w) are taken, too.
    """
    samples: Any = latent.get("samples") if isinstance(latent, dict) else None
    if not _is_filled(samples, 4) and not (videos and _is_filled(samples, 5)):
        is_video = isinstance(samples, Tensor) and samples.ndim == 5
        advice = "connect one of an image model"
        if is_video:
            advice = "for a video take Empty Latent Image with batch size = frames"
        raise ValueError(
            f"{node} expects a latent of shape (images, channels, height, width) with floating-point values, "
            f"got {_shown(samples if isinstance(latent, dict) else latent)}: {advice}."
        )
    _expect_finite(node, "a latent", samples)
    _expect_noise_mask(node, latent.get("noise_mask"))


def _expect_noise_mask(node: str, mask: Any) -> None:
    """ComfyUI gives it two to four axes and any size, so only its numbers are looked at."""
    if mask is None:
        return
    if not isinstance(mask, Tensor) or mask.numel() == 0:
        raise ValueError(
            f"{node} expects a noise mask that is not empty, got {_shown(mask)}: set another mask."
        )
    _expect_finite(node, "a noise mask", mask)


def expect_channels(node: str, channels: int, samples: Tensor, advice: str) -> None:
    """Samples (b, c, h, w) must come from a VAE of the same kind."""
    if samples.shape[1] != channels:
        raise ValueError(
            f"{node} expects a latent with {channels} channels, got {samples.shape[1]}: {advice}."
        )


def expect_image(node: str, image: Any) -> None:
    """An IMAGE is (b, h, w, 3) with finite numbers. A fourth channel, alpha, is dropped later."""
    if not _is_filled(image, 4) or image.shape[-1] not in (3, 4):
        raise ValueError(
            f"{node} expects an image of shape (images, height, width, 3) with floating-point values, "
            f"got {_shown(image)}: connect an RGB image."
        )
    _expect_finite(node, "an image", image)


def expect_mask(node: str, mask: Any) -> Tensor:
    """A MASK as (b, h, w) in 0..1; (h, w) is one of them."""
    if not _is_filled(mask, 2) and not _is_filled(mask, 3):
        raise ValueError(
            f"{node} expects a mask of shape (images, height, width) with floating-point values, "
            f"got {_shown(mask)}: connect another mask."
        )
    _expect_finite(node, "a mask", mask)
    return mask.float().reshape(-1, *mask.shape[-2:]).clamp(0, 1)


def _is_filled(value: object, axes: int) -> bool:
    return (
        isinstance(value, Tensor)
        and value.is_floating_point()
        and value.ndim == axes
        and 0 not in value.shape
    )


def _expect_finite(node: str, what: str, tensor: Tensor) -> None:
    """Looks at the smallest and the largest value, which makes no temporary of the tensor's size.

    Both are NaN if any value is.
    """
    # PyTorch has no aminmax for floating-point numbers of 8 bits.
    bounds = torch.stack(
        (tensor.half() if tensor.is_floating_point() and tensor.itemsize == 1 else tensor).aminmax()
    )
    if not bounds.isfinite().all():
        got = "NaN" if bounds.isnan().any() else "infinity"
        raise ValueError(f"{node} expects {what} of finite numbers, got {got}: check the node it comes from.")


def _shown(value: object) -> str:
    return (
        f"shape {tuple(value.shape)} of {value.dtype}" if isinstance(value, Tensor) else type(value).__name__
    )
