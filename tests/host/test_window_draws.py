"""The run's seed, the noise level, the block and the transformer in it decide where the windows lie."""

import comfy.samplers
import pytest
import torch
from freescale_pack.freescale_core.attention.windows import WindowGrid
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.settings import FreeScaleSettings, FusionSettings
from freescale_pack.nodes.patching.model import with_settings

from tools.harness.tiny_unet import tiny_model

SIGMAS = [3.0, 1.0]


@pytest.fixture(scope="module")
def model():
    settings = FreeScaleSettings(base=Size(256, 256), fusion=FusionSettings(), dilation=None, detail=None)
    return with_settings(tiny_model(), settings)


@pytest.fixture
def drawn(monkeypatch):
    """(windows across the shorter grid, windows) of each draw, in call order."""
    seen, draw = [], WindowGrid.draw

    def noted(self, rng):
        windows = draw(self, rng)
        seen.append((self.grid, tuple(windows)))
        return windows

    monkeypatch.setattr(WindowGrid, "draw", noted)
    return seen


def run(model, seed, noise_seed=1):
    """Two steps at 512 px: windows move by up to 2 tokens at half resolution, by 1 at a quarter."""
    guider = comfy.samplers.CFGGuider(model)
    generator = torch.Generator().manual_seed(0)
    texts = [
        [[torch.randn(1, 77, 64, generator=generator), {"pooled_output": torch.zeros(1, 64)}]]
        for _ in range(2)
    ]
    guider.set_conds(*texts)
    guider.set_cfg(3.0)
    latent, noise = torch.randn(2, 1, 4, 64, 64, generator=torch.Generator().manual_seed(noise_seed))
    euler = comfy.samplers.sampler_object("euler")
    return guider.sample(noise, latent, euler, torch.tensor([*SIGMAS, 0.0]), disable_pbar=True, seed=seed)


def test_the_runs_seed_moves_the_windows_and_the_picture(model, drawn):
    pictures = [run(model, seed) for seed in (1, 1, 2)]
    first, again, other = (drawn[i * len(drawn) // 3 : (i + 1) * len(drawn) // 3] for i in range(3))
    assert first == again
    assert torch.equal(pictures[0], pictures[1])
    assert not torch.equal(pictures[0], pictures[2])
    assert sum(a != b for a, b in zip(first, other, strict=True)) > len(first) // 2


def test_every_transformer_of_every_block_draws_windows_of_its_own_in_every_step(model, drawn):
    """If all transformers of a block shared windows, the borders would add up in the same places."""
    run(model, 1)
    attentions = sum(name.endswith("attn1") for name, _ in model.model.diffusion_model.named_modules())
    assert len(drawn) == len(SIGMAS) * attentions
    assert len(set(drawn)) == len(drawn)
