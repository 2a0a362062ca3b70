"""Every core sampler of the host: our eq. 4 equals the sampler's own source with that line inserted, or it is
refused by name."""

import ast
import inspect
import math
import re
import types
from pathlib import Path

import comfy.k_diffusion.sampling as k_diffusion
import comfy.samplers
import pytest
import torch
from comfy_extras import nodes_advanced_samplers
from freescale_pack.freescale_core.settings import DetailSettings
from freescale_pack.nodes.host.noise_level import variance_exploding_sigma
from freescale_pack.nodes.patching.detail_blend import with_detail_blend
from freescale_pack.nodes.patching.sampler_table import LATER_CALLS, ONE_CALL

from tools.harness.demo_checkpoint import demo_checkpoint

from .composition_features import sdxl
from .test_ends_and_restart import KINDS

REFUSED = {"uni_pc", "uni_pc_bh2", "sa_solver", "sa_solver_pece", "dpm_fast", "dpm_adaptive"}
NAMES = comfy.samplers.SAMPLER_NAMES
STEPS, ALPHA = 6, 1.3


class LineInserted(ast.NodeTransformer):
    """Inserts eq4(x, sigma) before the first model call of every step loop: the call that opens the step."""

    def visit_For(self, loop):
        for place, statement in enumerate(loop.body):
            value = getattr(statement, "value", None)
            if isinstance(value, ast.Call) and getattr(value.func, "id", None) == "model":
                loop.body.insert(place, ast.Expr(ast.Call(ast.Name("eq4", ast.Load()), value.args[:2], [])))
                break
        return loop


def reference_sampler(name, eq4):
    """The host's sampler function `name`, out of a copy of its module with the line inserted."""
    tree = ast.fix_missing_locations(LineInserted().visit(ast.parse(inspect.getsource(k_diffusion))))
    module = types.ModuleType(k_diffusion.__name__)
    module.__package__ = k_diffusion.__package__
    module.eq4 = eq4
    exec(compile(tree, k_diffusion.__file__, "exec"), module.__dict__)  # noqa: S102 (the reference is the host's own source)
    return getattr(module, f"sample_{'euler' if name == 'ddim' else name}")


class ToyModel:
    """A smooth denoiser with the attributes that samplers ask for."""

    def __init__(self, latent_image, model_sampling):
        self.latent_image = latent_image
        self.inner_model = self
        self.model_patcher = self
        self.model_sampling = model_sampling

    def get_model_object(self, name):
        return self.model_sampling

    def __call__(self, x, sigma, model_options=None, **kwargs):
        level = sigma.view(-1, 1, 1, 1)
        denoised = torch.tanh(x / (1 + level)) * 0.8 + self.latent_image * 0.1
        for function in (model_options or {}).get("sampler_post_cfg_function", []):
            denoised = function(
                {
                    "denoised": denoised,
                    "uncond_denoised": denoised * 0.9,
                    "cond_denoised": denoised,
                    "model_options": {},
                }
            )
        return denoised


SCHEDULES = {
    "to the end": None,
    "ends where the blend still holds": [900.0, 750.0, 600.0, 500.0, 400.0, 300.0],
}


def toy_run(timesteps=None):
    """timesteps: at which each step begins; None = the last ones of karras, where the blend has let go."""
    generator = torch.Generator().manual_seed(0)
    eps, z0 = torch.randn(2, 2, 4, 8, 8, generator=generator)
    model_sampling = demo_checkpoint()[0].get_model_object("model_sampling")
    if timesteps is None:
        sigmas = comfy.samplers.calculate_sigmas(model_sampling, "karras", STEPS + 2)[2:]
    else:
        sigmas = torch.cat([model_sampling.sigma(torch.tensor(timesteps)), torch.zeros(1)])
    return ToyModel(z0, model_sampling), eps, z0, sigmas


def drive(function, model, x, sigmas, callback=lambda info: None):
    torch.manual_seed(5)
    return function(
        model, x.clone(), sigmas, extra_args={"seed": 9, "model_options": {}}, callback=callback, disable=True
    )


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", [name for name in NAMES if name not in REFUSED])
def test_sampler_equals_its_source_with_the_line_inserted(name, schedule):
    model, eps, z0, sigmas = toy_run(SCHEDULES[schedule])
    x = z0 + sigmas[0] * eps
    opened, reported = [], []

    def eq4(x, sigma):
        level = float(sigma[0])
        opened.append(level)
        t = (1000 - _timestep(variance_exploding_sigma(model.model_sampling, level))) / 1000
        c = ((1 + torch.cos(torch.pi * torch.tensor(t, dtype=torch.float64))) / 2) ** ALPHA
        x.copy_((1 - c) * x + c * (z0 + level * eps))

    expected = drive(reference_sampler(name, eq4), model, x, sigmas)
    ours = with_detail_blend(
        comfy.samplers.sampler_object(name), DetailSettings(ALPHA), eps, model.model_sampling
    )
    got = drive(ours.sampler_function, model, x, sigmas, lambda info: reported.append(info["i"]))
    plain = drive(comfy.samplers.sampler_object(name).sampler_function, model, x, sigmas)
    assert len(opened) == STEPS
    assert reported == list(range(STEPS))  # as ComfyUI's progress bar wants them
    assert (got - expected).abs().max() < 1e-5
    assert (plain - expected).abs().max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_is_blended_at_its_own_noise_level_with_its_own_noised_latent(kind):
    """Levels of known timesteps, so that nothing of ours says which t a level has."""
    node, own_level = KINDS[kind]
    model_sampling = node(sdxl()).get_model_object("model_sampling")
    _, eps, z0, _ = toy_run()
    model, timesteps = ToyModel(z0, model_sampling), [900, 681, 500, 300, 100]
    sdxl_sigmas = sdxl().get_model_object("model_sampling").sigmas[timesteps].double()
    sigmas = torch.cat([own_level(sdxl_sigmas), torch.zeros(1)]).float()
    t_of = dict(zip(sigmas.tolist(), timesteps, strict=False))

    def noised(level):
        return (1 - level) * z0 + level * eps if kind == "flow" else z0 + level * eps

    def eq4(x, sigma):
        level = float(sigma[0])
        c = ((1 + math.cos(math.pi * (1000 - t_of[level]) / 1000)) / 2) ** ALPHA
        x.copy_((1 - c) * x + c * noised(level))

    x = noised(float(sigmas[0])) * 1.5
    expected = drive(reference_sampler("euler", eq4), model, x, sigmas)
    euler = comfy.samplers.sampler_object("euler")
    ours = with_detail_blend(euler, DetailSettings(ALPHA), eps, model_sampling)
    got, plain = (drive(sampler.sampler_function, model, x, sigmas) for sampler in (ours, euler))
    assert (got - expected).abs().max() < 1e-5
    assert (plain - expected).abs().max() > 1e-3


def _timestep(sigma):
    """t by search in the host's own SDXL table, between its two neighbours."""
    table = demo_checkpoint()[0].get_model_object("model_sampling").log_sigmas.double()
    log_sigma = torch.tensor(sigma, dtype=torch.float64).log()
    low = int((table <= log_sigma).sum().clamp(1, 999)) - 1
    return float(low + ((log_sigma - table[low]) / (table[low + 1] - table[low])).clamp(0, 1))


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_samplers_that_hide_their_state_are_refused_by_name(name):
    model, eps, _, _ = toy_run()
    with pytest.raises(ValueError, match=f"cannot work with the sampler {name}, because .*choose euler"):
        with_detail_blend(comfy.samplers.sampler_object(name), DetailSettings(), eps, model.model_sampling)


def test_every_core_sampler_is_in_the_table():
    """Of the release that runs these tests: a sampler that a new release brings fails here until it is looked
    at."""
    known = {
        name: comfy.samplers.sampler_object(name).sampler_function.__name__.removeprefix("sample_")
        for name in NAMES
        if name not in REFUSED
    }
    assert set(known.values()) <= LATER_CALLS.keys() | ONE_CALL


def test_samplers_of_cores_other_nodes_are_in_the_table_but_one_that_changes_the_size():
    """SamplerLCMUpscale enlarges its x on the way, so there is nothing to hold it to: it runs without the
    blend."""
    folder = Path(nodes_advanced_samplers.__file__).parent
    made = re.findall(
        r"KSAMPLER\((?:\w+\.)*sample_(\w+)",
        "".join(file.read_text(encoding="utf-8") for file in folder.glob("*.py")),
    )
    assert set(made) - (LATER_CALLS.keys() | ONE_CALL) == {"lcm_upscale"}
    assert "euler_pp" in made


def test_an_unknown_sampler_is_left_as_it_is_with_a_warning(caplog):
    model, eps, _, _ = toy_run()

    def sample_of_tomorrow(model, x, sigmas, **kwargs):
        return x

    sampler = comfy.samplers.KSAMPLER(sample_of_tomorrow)
    assert with_detail_blend(sampler, DetailSettings(), eps, model.model_sampling) is sampler
    assert "it does not know the sampler of_tomorrow" in caplog.text


def test_the_shared_sampler_object_stays_as_it_was():
    model, eps, _, _ = toy_run()
    sampler = comfy.samplers.sampler_object("euler")
    before = dict(vars(sampler))
    with_detail_blend(sampler, DetailSettings(), eps, model.model_sampling)
    assert vars(sampler) == before
