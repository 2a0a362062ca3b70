"""Results of VideoCrafter2's authors' code, and how the pack computes the same.

A folder of cases is read by what is in them, whatever their names: NAME.json beside NAME.safetensors.
"""

import json
import os
from functools import cache
from pathlib import Path

import comfy.sample
import comfy.samplers
import safetensors.torch
import torch
from freescale_pack.nodes.backbones.videocrafter.ddim import sample_videocrafter_ddim
from freescale_pack.nodes.backbones.videocrafter.loading import load_model

from tools import ROOT

OURS = ROOT / "tests" / "golden" / "video"
GOLDEN = Path(os.environ.get("FREESCALE_GOLDEN_VIDEO", OURS))
CASES = sorted(path.stem for path in GOLDEN.glob("*.json") if path.with_suffix(".safetensors").exists())
CALL, STEP, NOISED, SCHEDULE = 1e-5, 1e-4, 1e-6, 1e-6
"""Most relative error of a UNet call, of each x of a run, of a noised latent and of the schedule's numbers.
Rounding alone gives the first three 1.1e-6, 6e-6 and 1e-7."""
LATENT_SCALE = 0.18215


def weights_of(folder):
    """The UNet's tensors in a folder, or None."""
    for path in sorted(folder.glob("*.safetensors")):
        with safetensors.safe_open(path, framework="pt") as file:
            found = any("init_attn.0." in name for name in file.keys())  # noqa: SIM118 (not a dict)
        if found:
            return safetensors.torch.load_file(path)
    return None


@cache
def golden_video_model(dtype=torch.float32, folder=GOLDEN):
    """The MODEL of a folder's weights, else of ours."""
    weights = weights_of(folder) or weights_of(OURS)
    return load_model({name: tensor.float() for name, tensor in weights.items()}, dtype)


class Case:
    """One case: its facts (`info`) and its tensors; videos are (b, 4, t, h, w)."""

    def __init__(self, name, folder=GOLDEN):
        self.name, self.folder = name, folder
        self.info = json.loads((folder / f"{name}.json").read_text())
        self.tensors = safetensors.torch.load_file(folder / f"{name}.safetensors")

    @property
    def is_call(self):
        return {"x", "context", "eps"} <= self.tensors.keys()

    @property
    def is_run(self):
        return "x_1" in self.tensors and "timesteps" in self.info

    @property
    def is_noised(self):
        return any(name.startswith("q_") for name in self.tensors)

    @property
    def eta(self):
        return float(self.info.get("eta", 0.0))

    def start(self, name):
        """x_T, cond or uncond: the case's own, else of the case whose start it shares."""
        if name in self.tensors:
            return self.tensors[name]
        shape = self.tensors["x_1"].shape
        found = {}
        for folder in (self.folder, OURS):
            for other in sorted(path.stem for path in folder.glob("*.json")):
                tensors = Case(other, folder).tensors
                if name in tensors and "x_T" in tensors and tensors["x_T"].shape == shape:
                    found.setdefault(other, tensors[name])
        assert found, f"no case has the {name} that {self.name} starts from"
        named_after = [other for other in found if self.name.startswith(other)]
        return found[max(named_after, key=len) if named_after else next(iter(found))]

    def fps(self, video):
        """Frames per second that the network is told of a video of the batch."""
        return per_video(self.info.get("fps", 16), video)


def per_video(value, video):
    """A fact of the batch that is one for all videos or one for each."""
    return value[video if len(value) > 1 else 0] if isinstance(value, list) else value


def as_batch(video):
    """(b, c, t, h, w) -> (b * t, c, h, w)."""
    return video.movedim(2, 1).flatten(0, 1)


def relative_error(got, expected):
    return float((got - expected).norm() / expected.norm())


def call_errors(case, model):
    """Relative errors of one UNet call: of each block's norm by name, and of the result ("eps")."""
    x, context = case.tensors["x"], case.tensors["context"]
    videos, frames = x.shape[0], x.shape[2]
    unet = model.model.diffusion_model
    timesteps = torch.tensor([float(per_video(case.info["timesteps"], video)) for video in range(videos)])
    told = [model.model.encode_adm(fps=per_video(case.info["fps"], video)) for video in range(videos)]
    norms = {}
    hooks = [
        module.register_forward_hook(lambda module, args, out, name=name: norms.update({name: out.norm()}))
        for name, module in named_blocks(unet)
    ]
    try:
        got = unet(
            as_batch(x),
            timesteps.repeat_interleave(frames),
            context.expand(videos, -1, -1).repeat_interleave(frames, 0),
            torch.cat(told).repeat_interleave(frames, 0),
            transformer_options={},
            num_video_frames=frames,
        )
    finally:
        for hook in hooks:
            hook.remove()
    errors = {name: abs(float(norms[name]) / norm - 1) for name, _, norm in case.info.get("blocks", ())}
    return {**errors, "eps": relative_error(got, as_batch(case.tensors["eps"]))}


def named_blocks(unet):
    """(the authors' name, its last layer) of every block whose norm a case may tell."""
    first, *others = unet.input_blocks
    yield "input_blocks.0", first[0]
    yield "init_attn", first[1]
    for number, block in enumerate(others, start=1):
        yield f"input_blocks.{number}", block[-1]
    yield "middle_block", unet.middle_block[-1]
    for number, block in enumerate(unet.output_blocks):
        yield f"output_blocks.{number}", block[-1]


def run_errors(case, model):
    """Relative errors of one DDIM run, by the name of the tensor, of all its videos."""
    schedule = model.model.model_sampling
    steps = len(case.info["timesteps"])
    sampled = [run_video(case, model, video) for video in range(case.start("x_T").shape[0])]
    got = {name: torch.stack([one[name] for one in sampled]) for name in sampled[0]}
    errors = {
        f"x_{step}": relative_error(got[f"x_{step}"], case.tensors[f"x_{step}"].movedim(2, 1))
        for step in range(1, steps + 1)
    }
    if "final_x0" in case.tensors:
        errors["final_x0"] = relative_error(got["final_x0"], case.tensors["final_x0"].movedim(2, 1))
    at = torch.tensor(case.info["timesteps"])
    for name, ours in (("alphas_cumprod", alphas_cumprod(schedule)), ("scale", schedule.scale)):
        if name in case.info:
            errors[name] = relative_error(ours[at], torch.tensor(case.info[name]))
    return errors


def alphas_cumprod(schedule):
    """a by t, from the sampler's noise levels."""
    return 1 / (1 + (schedule.sigmas * schedule.scale) ** 2)


def run_video(case, model, video):
    """x_1, x_2, ... and final_x0 of one video, (t, c, h, w) each, by ComfyUI's samplers.

    The authors' last step ends at t = 0, ComfyUI's at no noise: that is run, too.
    """
    schedule = model.model.model_sampling
    timesteps = case.info["timesteps"]
    sampler = comfy.samplers.KSampler(
        model, case.info.get("steps", len(timesteps)), model.load_device, "euler", "ddim_uniform"
    )
    assert torch.equal(sampler.sigmas[:-1].flip(0), schedule.sigmas[torch.tensor(timesteps)])
    ends = torch.cat([sampler.sigmas[:-1], schedule.sigmas[:1]])
    found = {}

    def keep(step, x0, x, total):
        found[f"x_{step}"] = network_side(schedule, x, ends[step])

    last = sample(case, model, video, ends, keep) * LATENT_SCALE
    found[f"x_{len(timesteps)}"] = network_side(schedule, last, ends[-1])
    found["final_x0"] = sample(case, model, video, sampler.sigmas, None) * LATENT_SCALE
    return found


def network_side(schedule, x, sigma):
    """What the authors call x: the sampler's, as the network sees it."""
    return x * schedule.alpha_at(sigma)


def sample(case, model, video, sigmas, callback):
    """One video through ComfyUI's guider: by euler, with eta by the pack's sampler and the case's noise."""
    noise = case.start("x_T")[video].movedim(1, 0)
    texts = [
        [[case.start(name)[[video if len(case.start(name)) > 1 else 0]], {"fps": case.fps(video)}]]
        for name in ("cond", "uncond")
    ]
    cfg, empty = per_video(case.info["cfg"], video), torch.zeros_like(noise)
    common = {"callback": callback, "disable_pbar": True, "seed": 0}
    if case.eta == 0:
        steps = case.info.get("steps", len(sigmas) - 1)
        return comfy.sample.sample(
            model, noise, steps, cfg, "euler", "ddim_uniform", *texts, empty, sigmas=sigmas, **common
        )
    drawn = iter(range(1, len(sigmas)))
    options = {
        "eta": case.eta,
        "noise_sampler": lambda *levels: case.tensors[f"noise_{next(drawn)}"][video].movedim(1, 0),
    }
    sampler = comfy.samplers.KSAMPLER(sample_videocrafter_ddim, options)
    return comfy.sample.sample_custom(model, noise, cfg, sampler, sigmas, *texts, empty, **common)


def noised_errors(case, model):
    """Relative errors of the authors' q_sample for every q_T that the case has."""
    schedule = model.model.model_sampling
    errors = {}
    for name in case.tensors:
        if name.startswith("q_"):
            sigma = schedule.sigmas[int(name.removeprefix("q_"))]
            x = schedule.noise_scaling(sigma, as_batch(case.start("x_T")), as_batch(case.tensors["final_x0"]))
            errors[name] = relative_error(network_side(schedule, x, sigma), as_batch(case.tensors[name]))
    return errors
