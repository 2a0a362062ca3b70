"""What a user can choose, as frozen and checked data.

One `FreeScaleSettings` belongs to one patched model.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from .attention.windows import Window, WindowGrid
from .geometry import MIN_BASE_SIDE, Size, size_of_area
from .schedule import TIMESTEPS

Block = tuple[str, int, int]
"""Names one attention block: ("input" | "middle" | "output", block number, transformer index)."""

BASE_STEP = 64
"""Pixels: SDXL's training sizes are multiples of it."""

Method = Literal["bicubic", "lanczos", "latent bilinear", "latent bicubic"]
"""How a stage is enlarged for the next: as an image, or as a latent without the VAE."""

DrawWindows = Callable[[float, Block, WindowGrid], Sequence[Window]]
"""draw(sigma, block, window_grid) -> windows, in place of the seeded draw."""


@dataclass(frozen=True)
class FusionSettings:
    """Scale fusion, eq. 7. `None` = derived from the sizes of the run."""

    mode: Literal["exact", "fast"] = "exact"
    """Global branch: attention over all tokens, or inside strided sub-grids."""
    over_channels: bool = True
    """Blur over (h, w, channel) after the output projection, as the released code does.

    False: over (h, w), as the paper writes.
    """
    sigma: float = 1.0
    jitter: bool = True
    end_percent: float = 1.0
    kernel_size: int | None = None
    window: Size | None = None
    """Latent cells of the UNet's input."""
    strides: Size | None = None
    draw_windows: DrawWindows | None = None
    local: Literal["windows", "neighbourhoods"] = "windows"
    """Local branch: overlapping windows as published, or patches of queries over neighbourhoods of keys.

    The latter are cheaper and know no jitter.
    """

    def __post_init__(self) -> None:
        _check(self.mode in ("exact", "fast"), "mode exact or fast", self.mode)
        _check(self.local in ("windows", "neighbourhoods"), "local windows or neighbourhoods", self.local)
        _check(self.sigma > 0, "sigma above 0", self.sigma)
        _check(0 <= self.end_percent <= 1, "end_percent between 0 and 1", self.end_percent)
        _check(self.kernel_size is None or self.kernel_size % 2 == 1, "an odd kernel_size", self.kernel_size)

    @property
    def end_timestep(self) -> float:
        """The lowest t at which fusion acts."""
        return _end_timestep(self.end_percent)


@dataclass(frozen=True)
class DilationSettings:
    """Restrained dilated convolution, eq. 5, on while t >= (1 - end_percent) * 1000.

    With the authors' 50 steps 0.7 dilates 35 of them, t 981 to 301, as their code does by counting steps.
    """

    factor: int | None = None
    end_percent: float = 0.7

    def __post_init__(self) -> None:
        _check(self.factor is None or self.factor >= 1, "factor of at least 1", self.factor)
        _check(0 <= self.end_percent <= 1, "end_percent between 0 and 1", self.end_percent)

    @property
    def end_timestep(self) -> float:
        """The lowest t at which convolutions are dilated."""
        return _end_timestep(self.end_percent)


@dataclass(frozen=True, eq=False)
class DetailRegion:
    """An alpha of its own inside `mask`, (b, h, w) in 0..1, of any size; see `detail.alpha_map`."""

    mask: Tensor
    alpha: float
    feather: float = 0.0
    """Width of the edge, as a share of the image's shorter side."""
    binary: bool = False
    """As the released code does: everything but 0 counts as 1, nearest resize."""

    def __post_init__(self) -> None:
        _check(self.mask.ndim == 3, "masks of shape (b, h, w)", tuple(self.mask.shape))
        _check(self.alpha >= 0, "alpha of at least 0", self.alpha)
        _check(0 <= self.feather <= 1, "feather between 0 and 1", self.feather)


@dataclass(frozen=True)
class DetailSettings:
    """The blend of eq. 4. alpha counts outside the regions."""

    alpha: float = 2.0
    regions: tuple[DetailRegion, ...] = ()

    def __post_init__(self) -> None:
        _check(self.alpha >= 0, "alpha of at least 0", self.alpha)


@dataclass(frozen=True, eq=False)
class PromptRegion:
    """A prompt of its own inside `mask`, (b, h, w) in 0..1, of any size; see `attention.prompt_regions`."""

    context: Tensor
    """The encoded prompt as the cross-attention takes it: (b, tokens, channels)."""
    mask: Tensor
    strength: float = 1.0

    def __post_init__(self) -> None:
        _check(self.context.ndim == 3, "a context of shape (b, tokens, channels)", tuple(self.context.shape))
        _check(self.mask.ndim == 3, "masks of shape (b, h, w)", tuple(self.mask.shape))
        _check(0 <= self.strength <= 1, "strength between 0 and 1", self.strength)


@dataclass(frozen=True)
class RopeSettings:
    """Rotary positions of a transformer above its training size (CineScale). Sizes are in tokens.

    `None` = derived from the training size.
    """

    mode: Literal["ntk", "rectified"] = "ntk"
    """ntk: theta is larger, which costs nothing. rectified: queries in tiles, keys within the training size.

    They exclude each other: keys are turned on by the theta that the model turned them with.
    """
    theta_factor: float | None = None
    """ntk: a number for both axes, such as CineScale's 20 and 25 for its LoRAs; None = s^(d/(d-2)) an
    axis."""
    tile: Size | None = None
    """rectified: queries that share their keys' positions; None = 0.4 of the training size."""
    threshold: Size | None = None
    """rectified: how far around a tile keys keep their positions; None = 0.2 of the training size."""
    max_relative: Size | None = None
    """rectified: largest distance of a key; None = the training size - 1."""
    temperature: float | Literal["off", "sqrt log", "CineScale"] = "off"
    """Factor on the logits of attention: a number, or computed from the tokens of the run."""
    end_percent: float = 1.0

    def __post_init__(self) -> None:
        _check(self.mode in ("ntk", "rectified"), "mode ntk or rectified", self.mode)
        _check(
            self.theta_factor is None or self.theta_factor >= 1,
            "theta_factor of 1 or more",
            self.theta_factor,
        )
        _check(0 <= self.end_percent <= 1, "end_percent between 0 and 1", self.end_percent)
        for name, least in (("tile", 1), ("threshold", 0), ("max_relative", 1)):
            size: Size | None = getattr(self, name)
            _check(size is None or min(size) >= least, f"{name} of at least {least}", size)
        if isinstance(self.temperature, str):
            known = self.temperature in ("off", "sqrt log", "CineScale")
            _check(known, "temperature off, sqrt log, CineScale or a number", self.temperature)
        else:
            _check(self.temperature > 0, "temperature above 0", self.temperature)

    @property
    def end_timestep(self) -> float:
        """The lowest t at which positions are changed."""
        return _end_timestep(self.end_percent)


@dataclass(frozen=True)
class FreeScaleSettings:
    """Everything one patched model does. A part that is None is off."""

    base: Size | None = None
    """Training size in pixels; None = the area base_side^2 in the aspect of the run."""
    base_side: int = 1024
    restart: float = 0.3
    """Share of the noise, by timestep t, that stages >= 1 skip."""
    restart_range: tuple[float, float] = (550.0, 800.0)
    """Timesteps t between which such a restart is expected; a warning is given outside."""
    max_later_steps: int | None = None
    """Upper limit for the steps (of the whole schedule) of stages >= 1; None = as many as stage 0."""
    fusion: FusionSettings | None = field(default_factory=FusionSettings)
    dilation: DilationSettings | None = field(default_factory=DilationSettings)
    detail: DetailSettings | None = field(default_factory=DetailSettings)
    prompt_regions: tuple[PromptRegion, ...] = ()
    rope: RopeSettings | None = None
    """Of transformers alone."""
    neighbourhoods: bool = False
    """Of transformers with rotary positions: image tokens attend to those around them and to all text.

    A neighbourhood has the training size, which leaves rectified positions nothing to turn.
    """
    base_step: int = BASE_STEP
    """Pixels: the sides of a training size that follows the run's aspect are multiples of it."""
    method: Method = "bicubic"
    """How stages are enlarged where no plan says it."""

    def __post_init__(self) -> None:
        if self.base is not None and min(self.base) < MIN_BASE_SIDE:
            raise ValueError(
                f"FreeScale settings: expected a base size of at least {MIN_BASE_SIDE}x{MIN_BASE_SIDE} "
                f"pixels, got {self.base}: "
                "set the size the model was trained for"
            )
        _check(0 <= self.restart < 1, "restart from 0 to below 1", self.restart)
        _check(
            self.max_later_steps is None or self.max_later_steps >= 1,
            "max_later_steps of at least 1",
            self.max_later_steps,
        )

    def base_for(self, aspect_of: Size) -> Size:
        """The training size in pixels.

        It is `base`, or else the area base_side^2 in another size's aspect, in steps of `base_step`.
        """
        return self.base or size_of_area(self.base_side, aspect_of, self.base_step)


def _end_timestep(end_percent: float) -> float:
    """The lowest t of the first `end_percent` of the schedule, whose t runs from 1000 to 0."""
    return (1.0 - end_percent) * TIMESTEPS


def _check(holds: bool, expected: str, got: object) -> None:
    if not holds:
        raise ValueError(f"FreeScale settings: expected {expected}, got {got}: choose such a value")
