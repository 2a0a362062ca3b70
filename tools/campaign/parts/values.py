"""Random values for the inputs of nodes: what schemas allow, its edges, and what other nodes give wrongly."""

import math
import random

import torch
from comfy_api.latest import io
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.planning.plan import CascadePlan
from freescale_pack.nodes.cascade.stages import StageOverride
from freescale_pack.nodes.region_nodes import FreeScaleDetailRegion, FreeScalePromptRegion

from tools.campaign.parts.subjects import BASE, transformer
from tools.harness.demo_checkpoint import conditioning, demo_checkpoint
from tools.harness.tiny_transformers import TinyVae, prompt

STRANGE = {
    io.Int.Input: [None, "7", True, math.nan, 2.5, 2**65, -8],
    io.Float.Input: [None, "7", True, math.nan, math.inf, -8.0, 1e9],
    io.Combo.Input: [None, "no such choice", 1, []],
    io.String.Input: [None, 2.0, [], "", "2, x", "nan", "2, 1.5, 4", "1.1," * 50],
    io.Boolean.Input: [True, False],
}
"""Kind of widget -> what another node may give, or what nobody would type."""
STRANGE_SHARE = 0.06
"""Of the values that are drawn. A node has a dozen inputs, and the first wrong one ends it."""


class Values:
    """Values for the inputs of one case. They mostly fit together: prompts and VAE are those of the model."""

    def __init__(self, draw: random.Random, max_side):
        """max_side: of what is computed, in pixels, so that a case takes seconds and not gigabytes."""
        self._draw, self._max_side = draw, max_side
        self.is_unet = draw.random() < 0.7
        self.model = demo_checkpoint()[0] if self.is_unet else transformer("FLUX")
        self._generator = torch.Generator().manual_seed(draw.randrange(2**32))

    def inputs(self, node, **fixed):
        """Arguments for a node's execute; optional inputs are left out now and then. fixed: not drawn."""
        found = dict(fixed)
        for given in node.define_schema().inputs:
            if given.id not in found and not (given.optional and self._draw.random() < 0.5):
                found[given.id] = self._value(given)
        return found

    def _value(self, given):
        strange = self._draw.random() < STRANGE_SHARE
        if isinstance(given, io.WidgetInput):
            return self._draw.choice(STRANGE[type(given)]) if strange else self._widget(given)
        make = getattr(self, f"_{given.get_io_type().lower()}", None)
        return make() if make is not None and not strange else None

    def _widget(self, given):
        draw = self._draw
        if isinstance(given, io.Combo.Input):
            return draw.choice([given.default or given.options[0], draw.choice(given.options)])
        if isinstance(given, io.Boolean.Input):
            return draw.random() < 0.5
        if isinstance(given, io.String.Input):
            return draw.choice([given.default, "2", "1.5, 3", "1.1", " 2 ,4 "])
        edges = [given.min, given.default]
        if isinstance(given, io.Float.Input):
            most = min(given.max, 2.0) if given.id == "factor" else given.max
            return draw.choice([*edges, most, round(draw.uniform(given.min, most), 2)])
        is_side = given.id.endswith(("width", "height"))
        most = min(given.max, self._max_side) if is_side else given.max
        small = range(given.min, min(most, given.min + 256) + 1, given.step or 1)
        return draw.choice([*edges, most, draw.choice(small), draw.choice(small)])

    def _model(self):
        return self.model

    def _vae(self):
        return TinyVae(4 if self.is_unet else 16)

    def _conditioning(self):
        return conditioning("red apple") if self.is_unet else prompt()

    def _latent(self):
        draw, channels = self._draw, 4 if self.is_unet else 16
        sides = draw.choice(((8, 8), (8, 8), (1, 1), (1, 12), (9, 7), (12, 8), (0, 8)))
        shape = draw.choice(((1, channels), (1, channels), (2, channels), (1, 3), (0, channels), (channels,)))
        samples = self._filled(*shape, *(() if draw.random() < 0.9 else (1,)), *sides)
        found = {"samples": samples * draw.choice((0, 0, 1))}
        if draw.random() < 0.2:
            found["noise_mask"] = self._mask()
        if draw.random() < 0.2:
            found["batch_index"] = [5] * len(samples)
        return found

    def _image(self):
        draw = self._draw
        shape = draw.choice(
            ((1, 64, 64), (1, 64, 64), (2, 64, 64), (1, 1, 1), (1, 7, 90), (1, 72, 64), (0, 8, 8), (64, 64))
        )
        return self._filled(*shape, draw.choice((3, 3, 3, 4, 1))).abs().clamp(0, 1)

    def _mask(self):
        draw = self._draw
        sides = draw.choice(((8, 8), (64, 64), (1, 1), (1, 500), (33, 7), (0, 4)))
        shape = draw.choice(((), (1,), (1,), (2,), (0,), (1, 1)))
        return self._filled(*shape, *sides) * draw.choice((0, 1, 1, 100))

    def _filled(self, *shape):
        """Random numbers, a few of them of another kind, or one of them none."""
        found = torch.randn(shape, generator=self._generator)
        if self._draw.random() < 0.05 and found.numel():
            found.view(-1)[-1] = self._draw.choice((math.nan, math.inf, -math.inf))
        kinds = [torch.float32] * 12 + [torch.float16, torch.bfloat16, torch.float64, torch.int64]
        return found.to(self._draw.choice(kinds))

    def _freescale_plan(self):
        draw = self._draw
        stages = draw.choice(((Size(96, 96),), (Size(96, 96), Size(128, 128)), (Size(64, 128),)))
        return CascadePlan(
            BASE,
            stages,
            restart=draw.choice((None, 0.0, 0.95)),
            method=draw.choice(("bicubic", "lanczos", "latent bilinear")),
            tiling="off",
            steps=draw.choice((None, 1, 3)),
            sampler_name=draw.choice((None, "heun")),
        )

    def _freescale_stage_overrides(self):
        draw, text = self._draw, self._conditioning()
        return tuple(
            StageOverride(draw.choice((1, 2, 16)), *draw.choice(((self.model, None), (None, text))), cfg=1.0)
            for _ in range(draw.choice((0, 1, 2)))
        )

    def _freescale_detail_regions(self):
        mask = torch.rand(1, *self._draw.choice(((8, 8), (1, 1), (3, 40))), generator=self._generator)
        return FreeScaleDetailRegion.execute(mask, 3.0, 0.1, self._draw.random() < 0.5).result[0]

    def _freescale_prompt_regions(self):
        mask = torch.rand(1, *self._draw.choice(((8, 8), (1, 1), (3, 40))), generator=self._generator)
        text = self._draw.choice((conditioning("tiger"), prompt()))
        return FreeScalePromptRegion.execute(text, mask, 0.7).result[0]
