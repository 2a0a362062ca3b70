"""Where 30 % of each core scheduler's steps leads: the restart timestep, logged in every run and warned about outside 550 to 800."""

import comfy.samplers
import pytest
import torch
from freescale_pack.freescale_core.detail_blend import timestep_of
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.settings import FreeScaleSettings
from freescale_pack.nodes.stage_run import stage_run
from freescale_pack.nodes.stage_sampling import _log_restart

from .demo_model import demo_checkpoint

# restart t after 15 of 50 steps and 6 of 20, on SDXL's sigmas
RESTARTS = {
    "simple": (699, 699),
    "sgm_uniform": (699, 699),
    "karras": (721, 710),
    "exponential": (587, 570),
    "ddim_uniform": (681, 651),
    "beta": (765, 765),
    "normal": (693, 684),
    "linear_quadratic": (997, 997),
    "kl_optimal": (523, 513),
}


def test_every_core_scheduler_is_in_the_table():
    assert set(comfy.samplers.SCHEDULER_NAMES) == RESTARTS.keys()


@pytest.mark.parametrize("name", RESTARTS)
def test_restart_is_logged_and_warned_about_outside_550_to_800(name, caplog):
    caplog.set_level("INFO", logger="FreeScale")
    model = demo_checkpoint()[0]
    run = stage_run(FreeScaleSettings(), Size(256, 256), model.get_model_object("model_sampling"), 0)
    for steps, first, t in ((50, 15, RESTARTS[name][0]), (20, 6, RESTARTS[name][1])):
        caplog.clear()
        sigmas = comfy.samplers.KSampler(model, steps, model.load_device, "euler", name).sigmas[first:]
        assert round(timestep_of(float(sigmas[0]))) == t
        _log_restart(run, torch.ones(1, 4, 8, 8), sigmas, model.get_model_object("model_sampling"))
        assert f"restart at t = {t}" in caplog.text
        assert ("outside 550 to 800" in caplog.text) == (not 550 <= t <= 800)
