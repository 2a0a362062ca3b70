"""Where each core scheduler restarts: by timestep, not by step number; logged in every run, and warned about
outside 550 to 800."""

import comfy.samplers
import pytest
import torch
from freescale_pack.freescale_core.settings import FreeScaleSettings
from freescale_pack.nodes.cascade.stages import SamplerChoice, Stage
from freescale_pack.nodes.host.noise_level import timestep
from freescale_pack.nodes.patching.outer_sample import _log_restart

from tools.harness.demo_checkpoint import demo_checkpoint

# (first step, its t) of later stages with 50 steps and with 20, restart 0.3, on SDXL's sigmas
RESTARTS = {
    "simple": ((15, 699), (6, 699)),
    "sgm_uniform": ((15, 699), (6, 699)),
    "karras": ((16, 696), (7, 640)),
    "exponential": ((12, 689), (5, 659)),
    "ddim_uniform": ((15, 681), (6, 651)),
    "beta": ((18, 690), (8, 637)),
    "normal": ((15, 693), (6, 684)),
    "linear_quadratic": ((47, 688), (19, 643)),
    "kl_optimal": ((8, 684), (3, 691)),
}


def test_every_core_scheduler_is_in_the_table():
    assert set(comfy.samplers.SCHEDULER_NAMES) == RESTARTS.keys()


@pytest.mark.parametrize("name", RESTARTS)
def test_every_scheduler_restarts_at_the_same_noise(name, caplog):
    caplog.set_level("INFO", logger="FreeScale")
    model = demo_checkpoint()[0]
    model_sampling = model.get_model_object("model_sampling")
    for steps, (first, t) in zip((50, 20), RESTARTS[name], strict=True):
        caplog.clear()
        stage = Stage(
            model, FreeScaleSettings(), None, None, SamplerChoice(0, steps, 1.0, "euler", name)
        ).restarted(0.3)
        sigmas = stage.sigmas()[stage.start_step :]
        assert (stage.start_step, round(timestep(model_sampling, float(sigmas[0])))) == (first, t)
        _log_restart(FreeScaleSettings(), torch.ones(1, 4, 8, 8), sigmas, model_sampling)
        assert f"restart at t = {t}" in caplog.text
        assert "outside 550 to 800" not in caplog.text
