"""Rotary positions of one run: the embedder of each model call, and the attention of its layers.

A call embeds its tokens' ids once. NTK gives the embedder another theta while the call lasts. AR-RoPE,
neighbourhoods and the temperature act in ComfyUI's attention override, which sees q and k already turned.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from comfy.ldm.flux.layers import EmbedND
from comfy.ldm.flux.math import apply_rope1
from torch import Tensor

from ...freescale_core.geometry import Size
from ...freescale_core.rope.attention_scale import cinescale_factor, sqrt_log_ratio
from ...freescale_core.rope.frequencies import frequencies, ntk_factor
from ...freescale_core.rope.limits import Limits, limits
from ...freescale_core.rope.local_attention import Neighbourhoods, local_attention
from ...freescale_core.rope.rectified_attention import RectifiedAxis, Tiling, TokenPlaces, rectified_attention
from ...freescale_core.settings import RopeSettings
from ..backbones.transformer import NotedIds, X, Y, embedded_by, embedder_name, grid_of, noting
from ..host.releases import uncompiled
from ..host.types import Model
from .memory_budget import FreeMemory, MemoryBudget
from .sampler_run import SamplerRun
from .warn_once import WarnOnce

CALL_KEY = "freescale_rope_call"
"""transformer_options entry: the `RopeCall` of the model call, absent where positions stay as they are."""
OWN_POSITIONS = RopeSettings("ntk", theta_factor=1.0)
"""Leaves positions as they are, to the bit."""
OVERRIDE_KEY = "optimized_attention_override"
"""ComfyUI's transformer_options entry for a function that stands in for its attention."""
ARGUMENTS = ("q", "k", "v", "heads", "mask", "attn_precision", "skip_reshape", "skip_output_reshape")
"""Of ComfyUI's attention, in order."""


@dataclass
class RopeCall:
    """What one model call tells the attention of its layers.

    base: the training size in tokens. is_near: whether image tokens attend to their neighbourhoods.
    """

    settings: RopeSettings
    embedder: Any
    noted: NotedIds
    base: Size
    is_near: bool = False
    tilings: dict[int, Tiling] = field(default_factory=dict)
    near: dict[int, Neighbourhoods] = field(default_factory=dict)

    def places(self, tokens: int) -> TokenPlaces | None:
        return self.noted.places(tokens)

    def tiling(self, places: TokenPlaces, device: torch.device) -> Tiling:
        """The tiles of the call; layers with other tokens have others."""
        tokens = len(places.rows)
        found = self.tilings.get(tokens)
        if found is None:
            found = self.tilings[tokens] = tiling_of(
                self.embedder, places, limits(self.settings, self.base), device
            )
        return found

    def neighbourhoods(self, places: TokenPlaces, device: torch.device) -> Neighbourhoods:
        """Who attends to whom in layers with these tokens."""
        tokens = len(places.rows)
        found = self.near.get(tokens)
        if found is None:
            found = self.near[tokens] = Neighbourhoods.of(places, self.base, device)
        return found

    def temperature(self, grid: Size) -> float:
        """The factor on the logits for an image of `grid` tokens."""
        wanted = self.settings.temperature
        if wanted == "sqrt log":
            return sqrt_log_ratio(grid.area, self.base.area)
        if wanted == "CineScale":
            return cinescale_factor(grid.area)
        return 1.0 if wanted == "off" else float(wanted)


def tiling_of(embedder: Any, places: TokenPlaces, within: Limits, device: torch.device) -> Tiling:
    """The tiles of tokens at `places`, and how their keys turn by the frequencies of the embedder."""
    axes = [
        RectifiedAxis(
            length,
            tile,
            most,
            threshold,
            sum(embedder.axes_dim[:axis]),
            embedder.axes_dim[axis],
            tuple(frequencies(embedder.axes_dim[axis], embedder.theta).tolist()),
        )
        for axis, length, tile, most, threshold in zip(
            (Y, X), places.grid, within.tile, within.max_relative, within.threshold, strict=True
        )
    ]
    return Tiling.of(places, axes[0], axes[1], device)


def theta_factors(settings: RopeSettings, embedder: Any, base: Size, grid: Size) -> list[float]:
    """What theta is multiplied with on each axis of the ids. base, grid: tokens (h, w)."""
    factors = [1.0] * len(embedder.axes_dim)
    if settings.mode == "ntk":
        for axis, before, now in zip((Y, X), base, grid, strict=True):
            dims = embedder.axes_dim[axis]
            factors[axis] = settings.theta_factor or ntk_factor(now / before, dims)
    return factors


class RopeCalls:
    """APPLY_MODEL wrapper of one run. The modules come from the executor: several devices may run it."""

    def __init__(self, run: SamplerRun, settings: RopeSettings, is_near: bool) -> None:
        """is_near: whether image tokens attend to their neighbourhoods, which ends with no noise level."""
        self._run, self._settings, self._is_near = run, settings, is_near

    def __call__(
        self,
        executor: Any,
        x: Tensor,
        t: Tensor,
        c_concat: Any,
        c_crossattn: Any,
        control: Any,
        transformer_options: dict[str, Any],
        **kwargs: Any,
    ) -> Any:
        size = Size(*x.shape[-2:])
        settings = self._settings_for(size, t)
        if settings is None:
            return executor(x, t, c_concat, c_crossattn, control, transformer_options, **kwargs)
        network = executor.class_obj.diffusion_model
        embedder = getattr(network, embedder_name(network) or "")
        grid, base = grid_of(size, network), grid_of(self._run.base, network)
        factors = theta_factors(settings, embedder, base, grid)
        frames = x.shape[2] if x.ndim == 5 else 1
        call = RopeCall(settings, embedder, NotedIds(grid, frames), base, self._is_near)
        options = {**transformer_options, CALL_KEY: call}
        with embedded_by(embedder, noting(embedder, call.noted, factors if max(factors) > 1.0 else ())):
            return executor(x, t, c_concat, c_crossattn, control, options, **kwargs)

    def _settings_for(self, size: Size, t: Tensor) -> RopeSettings | None:
        """The positions of a call, None = it goes on untouched.

        Judges the call by its own size; its noise level is read only where it matters.
        """
        if not self._run.acts_on(size):
            return None
        if self._settings.end_percent >= 1.0 or self._run.is_on(self._settings, float(t.flatten()[0])):
            return self._settings
        return OWN_POSITIONS if self._is_near else None


class RopeAttention:
    """Stands in for ComfyUI's attention in one run, in front of whatever stood there before.

    before: the override of another node, or None. It gets each tile or patch in place of the whole.
    """

    def __init__(self, before: Callable[..., Any] | None, budget: MemoryBudget, said: WarnOnce) -> None:
        self._before, self._budget, self._said = before, budget, said

    def __call__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        attend = function if self._before is None else partial(self._before, function)
        call: RopeCall | None = (kwargs.get("transformer_options") or {}).get(CALL_KEY)
        if call is None:
            return attend(*args, **kwargs)
        given = {**dict(zip(ARGUMENTS, args, strict=False)), **kwargs}
        places = self._places(call, given)
        if places is None:
            return attend(*args, **kwargs)
        factor = call.temperature(places.grid)
        if factor != 1.0:
            given["q"] = given["q"] * factor
        if call.is_near:
            near = call.neighbourhoods(places, given["q"].device)
            if not near.covers_all:
                return self._in_parts(attend, given, partial(local_attention, near=near))
        elif call.settings.mode == "rectified":
            tiling = call.tiling(places, given["q"].device)
            if not tiling.is_identity:
                rectified = partial(rectified_attention, tiling=tiling, turn=apply_turn)
                return self._in_parts(attend, given, rectified)
        return attend(*args, **kwargs) if factor == 1.0 else _call(attend, given)

    def _places(self, call: RopeCall, given: Mapping[str, Any]) -> TokenPlaces | None:
        """Where the tokens stand; None for cross-attention, and for layers without the image."""
        q, k = given["q"], given["k"]
        axis = 2 if given.get("skip_reshape") else 1
        if q.shape[axis] != k.shape[axis]:
            return None
        places = call.places(q.shape[axis])
        if places is None and q.shape[axis] >= call.noted.area:
            self._said(
                f"no image was found among the {q.shape[axis]} tokens of an attention layer, which runs as "
                "without rotary positions of FreeScale."
            )
        return places

    def _in_parts(
        self, attend: Callable[..., Any], given: dict[str, Any], in_parts: Callable[..., Tensor]
    ) -> Tensor:
        """in_parts: of freescale_core.rope; calls attend for each of its tiles or patches."""
        by_heads, as_heads = bool(given.get("skip_reshape")), bool(given.get("skip_output_reshape"))
        q, k, v, heads = given["q"], given["k"], given["v"], given["heads"]
        if not by_heads:
            size = q.shape[-1] // heads
            q, k, v = (tokens.unflatten(-1, (-1, size)).transpose(1, 2) for tokens in (q, k, v))
        others = {**given, "skip_reshape": True, "skip_output_reshape": False}

        def attend_part(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
            result: Tensor = _call(
                attend, {**others, "q": q, "k": k, "v": v, "mask": mask, "heads": q.shape[1]}
            )
            return result

        def attended(bytes_at_once: int) -> Tensor:
            return in_parts(q, k, v, attend=attend_part, mask=given.get("mask"), bytes_at_once=bytes_at_once)

        out = self._budget.within(attended, q.nbytes, q.device)
        return out.unflatten(-1, (heads, -1)).transpose(1, 2) if as_heads else out


def apply_turn(x: Tensor, rotation: Tensor) -> Tensor:
    """x (b, heads, n, channels), turned by ComfyUI's own kernel; rotation (n, channels / 2, 2, 2)."""
    out: Tensor = apply_rope1(x, rotation[None, None])
    return out


def _call(attend: Callable[..., Any], given: dict[str, Any]) -> Any:
    """Attention with the arguments that other nodes expect by place, and the rest by name."""
    rest = {name: value for name, value in given.items() if name not in ("q", "k", "v", "heads")}
    return attend(given["q"], given["k"], given["v"], given["heads"], **rest)


def install(
    transformer_options: dict[str, Any],
    settings: RopeSettings,
    free_memory: FreeMemory,
    is_near: bool = False,
) -> None:
    """Put the run's attention in front of what the options hold. The options are the run's own copy.

    is_near: whether image tokens attend to their neighbourhoods.
    """
    if settings.mode == "rectified" or settings.temperature != "off" or is_near:
        before = transformer_options.get(OVERRIDE_KEY)
        attention = RopeAttention(before, MemoryBudget(free_memory), WarnOnce())
        transformer_options[OVERRIDE_KEY] = uncompiled(attention)


def require_rope(model: Model) -> None:
    """Raise ValueError unless the positions of the MODEL can be turned, naming what is in the way."""
    network = model.get_model_object("diffusion_model")
    name = embedder_name(network)
    if name is None:
        raise ValueError(
            "FreeScale RoPE expects a transformer with rotary positions over y and x (FLUX, Qwen-Image, "
            f"Lumina 2, Z-Image, Wan), got {type(network).__name__}: set rope to off; the cascade and its "
            "blend work without it."
        )
    embedder = model.get_model_object(f"diffusion_model.{name}")
    if type(embedder) is not EmbedND:
        raise ValueError(
            f"FreeScale RoPE expects the model's own position embedder, got {type(embedder).__name__} of "
            "another node (DyPE and the like): take that node out, or set rope to off and speed to Exact."
        )
    scaled = model.model_options.get("transformer_options", {}).get("rope_options") or {}
    if any(scaled.get(name, 1.0) != 1.0 for name in ("scale_x", "scale_y")):
        raise ValueError(
            "FreeScale RoPE expects positions that count up by 1, got those of a ScaleROPE node: take it "
            "out, or set rope to off and speed to Exact."
        )
