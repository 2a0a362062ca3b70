"""Results of the authors' code, and how the pack computes the same: for tests on the CPU and checks on a
GPU."""

import json

import comfy.samplers
import safetensors.torch
import torch
from comfy.ldm.modules.attention import BasicTransformerBlock
from freescale_pack.freescale_core.attention.windows import Window
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.settings import (
    DetailSettings,
    DilationSettings,
    FreeScaleSettings,
    FusionSettings,
)
from freescale_pack.nodes.region_nodes import FreeScaleDetailRegion

from tools.harness.tiny_unet import GOLDEN, LATENT_SCALE

CASES = sorted(path.stem for path in GOLDEN.glob("*.json"))
STAGE, MASKED = 1e-4, 3e-3  # measured: 6e-7, 7e-4
"""Most relative error of a stage in float32, without and with a mask."""
STAGES = [
    (name, r)
    for name in CASES
    for r in range(1, len(json.loads((GOLDEN / f"{name}.json").read_text())["stages"]) + 1)
]
BLOCK_PREFIX = {"input_blocks": "input", "middle_block": "middle", "output_blocks": "output"}


class Case:
    """One golden case: its facts (`info`), its tensors, and the settings its stages were made with."""

    def __init__(self, name):
        self.info = json.loads((GOLDEN / f"{name}.json").read_text())
        self.tensors = safetensors.torch.load_file(GOLDEN / f"{name}.safetensors")
        self.masked = self.info["kind"] == "imgen"

    def settings(self, r, model):
        stage = self.info["stages"][r - 1]
        fusion = FusionSettings(
            mode="fast" if self.info["fast_mode"] else "exact",
            kernel_size=stage["kernel"],
            window=Size(*stage["window"]),
            strides=Size(*stage["subgrid"]),
            draw_windows=self.views(r, model),
        )
        dilation = DilationSettings(stage["dilation"], end_percent=1.0)
        return FreeScaleSettings(
            base=Size(*self.info["resolutions"][0]), fusion=fusion, dilation=dilation, detail=self.detail()
        )

    def detail(self):
        if not self.masked:
            return DetailSettings(self.info["cosine_scale"])
        regions = FreeScaleDetailRegion.execute(
            self.tensors["mask"].float(), self.info["cosine_scale"], feather=0.0, binary=True
        ).result[0]
        return DetailSettings(self.info["cosine_scale_bg"], regions)

    def views(self, r, model):
        """draw_windows that looks the recorded windows up by model call and block."""
        blocks = attention_block_order(model)
        calls_before = sum(
            self.info["steps"] - stage["restart_step"] for stage in self.info["stages"][: r - 1]
        )
        first = self.info["stages"][r - 1]["restart_step"]

        def draw(sigma, block, windows):
            step = int((self.tensors["sigmas"] - sigma).abs().argmin())
            height, width, views = self.info["views"][
                (calls_before + step - first) * len(blocks) + blocks.index(block)
            ]
            assert windows.grid == (height, width)
            return [Window(*view[:2], *view[2:]) for view in views]

        return draw

    def run(self, model, r):
        """Stage r from its recorded start, through the host's guider and its Euler sampler."""
        if r == 0:
            sigma = self.tensors["sigmas"][0]
            x = self.tensors["stage0_first_in"][:1] * (sigma**2 + 1) ** 0.5
            return self._sample(model, x / sigma, torch.zeros_like(x), first=0)
        start = self.tensors[f"encoded_stage{r}"]
        return self._sample(
            model, self.tensors[f"noise_stage{r}"], start, self.info["stages"][r - 1]["restart_step"]
        )

    def _sample(self, model, noise, start, first):
        guider = comfy.samplers.CFGGuider(model)
        guider.set_conds(
            *([[self.tensors[n], {"pooled_output": self.tensors[f"pooled_{n}"]}]] for n in ("cond", "uncond"))
        )
        guider.set_cfg(self.info["cfg"])
        euler = comfy.samplers.sampler_object("euler")
        sigmas = self.tensors["sigmas"][first:]
        return (
            guider.sample(noise, start / LATENT_SCALE, euler, sigmas, disable_pbar=True, seed=0)
            * LATENT_SCALE
        )


def attention_block_order(model):
    """(name, number, transformer index) of every self-attention, in call order."""
    order = []
    for path, module in model.model.diffusion_model.named_modules():
        if isinstance(module, BasicTransformerBlock):
            parts = path.split(".")
            number = 0 if parts[0] == "middle_block" else int(parts[1])
            order.append((BLOCK_PREFIX[parts[0]], number, int(parts[-1])))
    return order


def relative_error(got, expected):
    return float((got - expected).norm() / expected.norm())


class FirstCallDone(Exception):
    """Ends a run after its first UNet call."""


def first_unet_call(model, run):
    """Input and output, float32 on the CPU, of the UNet's first call inside run(), which goes no further."""
    calls = []

    def keep_and_stop(module, args, out):
        calls.append((args[0].float().cpu(), out.float().cpu()))
        raise FirstCallDone

    hook = model.model.diffusion_model.register_forward_hook(keep_and_stop)
    try:
        run()
    except FirstCallDone:
        return calls[0]
    finally:
        hook.remove()
    raise AssertionError("The UNet was not called.")
