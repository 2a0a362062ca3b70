"""Runs of tiny random transformers with rotary positions, plain and beside another feature."""

import comfy.sample
import pytest
import torch
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.settings import FreeScaleSettings, RopeSettings
from freescale_pack.nodes.patching.model import with_settings
from freescale_pack.nodes.patching.rope import OVERRIDE_KEY

from tools.harness.golden_cases import relative_error
from tools.harness.tiny_transformers import latent, prompt

BASE = Size(64, 96)
LIMITS = {"tile": Size(3, 4), "threshold": Size(1, 1), "max_relative": Size(3, 5)}
ROPES = {
    "ntk": RopeSettings("ntk", temperature=1.2),
    "rectified": RopeSettings("rectified", temperature=1.2, **LIMITS),
}
EFFECT, ROUNDING = 1e-3, 1e-5
"""Of a feature at the least, and of another order of sums at the most; relative."""
FAMILY = pytest.mark.parametrize("family", ["FLUX", "Wan"])
MODE = pytest.mark.parametrize("mode", ROPES)


def with_rope(model, mode):
    return with_settings(
        model, FreeScaleSettings(base=BASE, fusion=None, dilation=None, detail=None, rope=ROPES[mode])
    )


def sample(model, x, cfg=1.0, positive=None, negative=None, mask=None, noise=None):
    noise = comfy.sample.prepare_noise(x, 3) if noise is None else noise
    texts = positive or prompt(batch=len(x)), negative or prompt(6, batch=len(x))
    run = {"disable_pbar": True, "seed": 3, "start_step": 1, "last_step": 1000, "force_full_denoise": True}
    return comfy.sample.sample(model, noise, 3, cfg, "euler", "simple", *texts, x, noise_mask=mask, **run)


def expect_both_count(model, changed, mode, x, **options):
    """The result with both, after checks that each has an effect beside the other."""
    plain = sample(model, x)
    feature = sample(changed or model, x, **options)
    rope = sample(with_rope(model, mode), x)
    both = sample(with_rope(changed or model, mode), x, **options)
    assert both.isfinite().all()
    for without in (feature, rope, plain):
        assert relative_error(both, without) > EFFECT
    assert torch.equal(sample(model, x), plain)
    return both


def large(family, batch=1):
    return latent(family, 16, 24, batch=batch)


def with_override(model, override):
    """The MODEL with an attention of another node."""
    clone = model.clone()
    clone.model_options["transformer_options"][OVERRIDE_KEY] = override
    return clone
