"""Latents that FreeScale leaves alone: those of videos, and packed ones that hold several at once."""

import pytest
import torch
from comfy.patcher_extension import WrappersMP
from freescale_pack.freescale_core.settings import FreeScaleSettings
from freescale_pack.nodes.patching.model import with_settings

from tools.harness.demo_checkpoint import demo_checkpoint

PICTURE, VIDEO, PACKED = (1, 4, 256, 256), (1, 4, 2, 256, 256), (1, 1, 8192)


class Run:
    """Stands for the host's executor of a sampler run: a guider, and what the run saw of it."""

    def __init__(self, model):
        self.class_obj = self
        self.model_patcher, self.model_options, self.conds = model, model.model_options, {"positive": [{}]}

    def __call__(self, noise, latent_image, sampler, *rest, **kwargs):
        self.seen = self.model_options, self.conds, kwargs
        return noise


@pytest.mark.parametrize(
    ("shape", "latent_shapes", "alone"),
    [
        (PICTURE, None, False),
        (PICTURE, [PICTURE], False),
        (VIDEO, None, True),
        (PACKED, None, True),
        (PICTURE, [PICTURE, PACKED], True),
    ],
)
def test_a_video_and_a_packed_latent_run_as_without_freescale(shape, latent_shapes, alone):
    model = with_settings(demo_checkpoint()[0], FreeScaleSettings())
    (wrapper,) = model.get_wrappers(WrappersMP.OUTER_SAMPLE, "freescale")
    run, extra = Run(model), {} if latent_shapes is None else {"latent_shapes": latent_shapes}
    noise, latent, sigmas = torch.ones(shape), torch.ones(shape), torch.tensor([3.0, 0.0])
    options, conds = run.model_options, run.conds
    assert wrapper(run, noise, latent, None, sigmas, None, None, True, 1, **extra) is noise
    assert (run.seen[0] is options, run.seen[1] is conds) == (alone, alone)
    assert run.seen[2] == extra
    assert run.model_options is options
