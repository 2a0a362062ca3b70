"""Small random networks and patches of the kinds that people combine with FreeScale, in the host's own
formats."""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from unittest import mock

import comfy.cldm.cldm
import comfy.controlnet
import comfy.gligen
import comfy.model_management
import comfy.ops
import comfy.sample
import comfy.samplers
import comfy.sd
import comfy.supported_models
import comfy.t2i_adapter.adapter
import safetensors.torch
import torch
from comfy.ldm.modules.attention import SpatialTransformer, optimized_attention
from comfy.model_patcher import ModelPatcher
from comfy_extras.nodes_torch_compile import TorchCompileModel

import nodes
from tools.harness.demo_checkpoint import DEMO, conditioning, demo_checkpoint

CPU = torch.device("cpu")
CHECKPOINT = DEMO / "tiny_sdxl.safetensors"
SEED = 3
TIMESTEPS = (700.0, 350.0)
CFG = 3.0
POSITIVE, NEGATIVE = "tiger on a blue background", ""


@dataclass(frozen=True)
class Setup:
    """What one run is sampled with. guider: (Setup) -> guider; around: what must hold while it runs."""

    model: Any
    positive: Any
    negative: Any
    latent: torch.Tensor
    mask: torch.Tensor | None = None
    steps: int = len(TIMESTEPS)
    guider: Any = None
    around: Any = nullcontext

    def sample(self):
        """One or two Euler steps as KSampler or SamplerCustomAdvanced takes them."""
        guider = self.guider(self) if self.guider else cfg_guider(self)
        sampling = self.model.get_model_object("model_sampling")
        sigmas = torch.cat([sampling.sigma(torch.tensor(TIMESTEPS[: self.steps])), torch.zeros(1)])
        noise = comfy.sample.prepare_noise(self.latent, SEED)
        euler = comfy.samplers.sampler_object("euler")
        with self.around():
            return guider.sample(
                noise, self.latent, euler, sigmas, denoise_mask=self.mask, disable_pbar=True, seed=SEED
            )

    def on(self, model, **changes):
        return replace(self, model=model, **changes)


def cfg_guider(setup):
    guider = comfy.samplers.CFGGuider(setup.model)
    guider.set_conds(setup.positive, setup.negative)
    guider.set_cfg(CFG)
    return guider


def latents(batch=1, side=16):
    return torch.randn(batch, 4, side, side, generator=torch.Generator().manual_seed(1))


def text_setup(model):
    return Setup(model, conditioning(POSITIVE), conditioning(NEGATIVE), latents())


@cache
def sdxl():
    """The demo UNet in float32, so that what is compared is not its storage."""
    demo_checkpoint()  # Makes the host know it.
    return comfy.sd.load_diffusion_model(str(CHECKPOINT), {"dtype": torch.float32})


@cache
def sd15():
    """A tiny random UNet with self-attention at full resolution, as SD1.5 has."""
    depths = {
        "transformer_depth": [1, 1],
        "transformer_depth_middle": 1,
        "transformer_depth_output": [1, 1, 1, 1],
    }
    return random_unet(num_res_blocks=[1, 1], channel_mult=(1, 2), **depths)


@cache
def one_transformer():
    """The smallest UNet with attention, for what takes minutes on larger ones."""
    return random_unet(
        num_res_blocks=[1],
        channel_mult=(1,),
        transformer_depth=[0],
        transformer_depth_middle=1,
        transformer_depth_output=[0, 0],
    )


def random_unet(**layout):
    sizes = {"image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 32}
    kind = {
        "use_spatial_transformer": True,
        "use_linear_in_transformer": False,
        "context_dim": 128,
        "num_heads": 8,
    }
    config = comfy.supported_models.SD15({**sizes, **kind, **layout})
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model({}, device=CPU)
    randomised(model.diffusion_model)
    return ModelPatcher(model, CPU, CPU)


def randomised(module):
    """Random weights that keep the size of what goes through; norms and gates 1, biases 0."""
    generator = torch.Generator().manual_seed(0)
    for name, weight in module.named_parameters():
        if weight.ndim > 1:
            weight.copy_(torch.randn(weight.shape, generator=generator) * weight[0].numel() ** -0.5)
        else:
            weight.fill_(0.0 if name.endswith("bias") else 1.0)
    return module


@cache
def picture():
    return torch.rand(1, 128, 128, 3, generator=torch.Generator().manual_seed(2))


@cache
def control_net():
    """A ControlNet of SDXL's kind for the demo UNet, loaded from its weights."""
    config = dict(sdxl().model.model_config.unet_config)
    network = comfy.cldm.cldm.ControlNet(
        **{**config, "hint_channels": 3, "operations": comfy.ops.disable_weight_init, "device": CPU}
    )
    return comfy.controlnet.load_controlnet_state_dict(randomised(network).state_dict())


@cache
def t2i_adapter():
    """An SDXL T2I-Adapter with the demo UNet's channels."""
    network = comfy.t2i_adapter.adapter.Adapter(
        cin=768, channels=[64, 128, 128, 128], nums_rb=2, ksize=1, sk=True, use_conv=False, xl=True
    )
    return comfy.controlnet.T2IAdapter(randomised(network), 3, 8, "nearest-exact")


def controlled(setup, control, end_percent=1.0):
    """Both conds with a control picture."""
    apply = nodes.ControlNetApplyAdvanced().apply_controlnet
    positive, negative = apply(setup.positive, setup.negative, control, picture(), 1.0, 0.0, end_percent)
    return replace(setup, positive=positive, negative=negative)


@cache
def gligen():
    """GLIGEN with one gated attention for each transformer of the demo UNet."""
    unet = sdxl().model.diffusion_model
    gates = [
        comfy.gligen.GatedSelfAttentionDense(m.in_channels, 64, 2, m.in_channels // 2)
        for m in unet.modules()
        if isinstance(m, SpatialTransformer)
    ]
    network = comfy.gligen.Gligen(gates, comfy.gligen.PositionNet(64, 64), 64)
    return ModelPatcher(randomised(network), CPU, CPU)


@cache
def lora(strength=0.5):
    """A LoRA file's tensors: on an attention projection, on its output and on a convolution that FreeScale
    dilates."""
    generator = torch.Generator().manual_seed(5)
    weights = {}
    for path in LORA_LAYERS:
        weight = sdxl().model.diffusion_model.get_submodule(path).weight
        up, down = (weight.shape[0], 4, *(1 for _ in weight.shape[2:])), (4, *weight.shape[1:])
        key = f"lora_unet_{path.replace('.', '_')}"
        weights[f"{key}.lora_up.weight"] = torch.randn(up, generator=generator) * strength
        weights[f"{key}.lora_down.weight"] = (
            torch.randn(down, generator=generator) * weight[0].numel() ** -0.5
        )
        weights[f"{key}.alpha"] = torch.tensor(4.0)
    return weights


MIDDLE = "middle_block.1.transformer_blocks.0"
LORA_LAYERS = (f"{MIDDLE}.attn1.to_q", f"{MIDDLE}.attn1.to_out.0", "input_blocks.8.0.in_layers.2")


def with_lora(model):
    return comfy.sd.load_lora_for_models(model, None, lora(), 1.0, 0.0)[0]


def merged():
    """The demo UNet with the LoRA multiplied into its weights."""
    weights = {name: weight.clone() for name, weight in sdxl_weights().items()}
    for path in LORA_LAYERS:
        key = f"lora_unet_{path.replace('.', '_')}"
        up, down = (lora()[f"{key}.lora_{side}.weight"].flatten(1) for side in ("up", "down"))
        weights[f"{path}.weight"] += (up @ down).reshape(weights[f"{path}.weight"].shape)
    return comfy.sd.load_diffusion_model_state_dict(weights, {"dtype": torch.float32})


def sdxl_weights():
    """The demo UNet's weights in float32."""
    prefix = "model.diffusion_model."
    weights = safetensors.torch.load_file(CHECKPOINT)
    return {
        name.removeprefix(prefix): weight.float()
        for name, weight in weights.items()
        if name.startswith(prefix)
    }


def stored_as(dtype):
    """The demo UNet stored in `dtype`, computed in float32 (what the host does on a CPU, and with fp8 on most
    GPUs)."""
    return comfy.sd.load_diffusion_model(str(CHECKPOINT), {"dtype": dtype})


def rounded_to(dtype):
    """The demo UNet in float32 with weights rounded to `dtype`."""
    return comfy.sd.load_diffusion_model_state_dict(
        {name: weight.to(dtype).float() for name, weight in sdxl_weights().items()}, {"dtype": torch.float32}
    )


def computed_in(dtype):
    """The demo UNet stored and computed in half precision, as on a GPU."""
    with mock.patch.object(comfy.model_management, "unet_manual_cast", lambda *args, **kwargs: None):
        return stored_as(dtype)


def with_image_prompt(model, weight):
    """A cross-attention patch of IPAdapter's kind: attention to a second set of keys and values, added."""
    generator = torch.Generator().manual_seed(6)
    tokens = [torch.randn(1, 4, 128, generator=generator) for _ in range(2)]

    def patch(q, k, v, extra_options):
        heads = extra_options["n_heads"]
        more = [t.to(q).expand(len(q), -1, -1) for t in tokens]
        return optimized_attention(q, k, v, heads) + weight * optimized_attention(q, *more, heads)

    patched = model.clone()
    for block in (("input", 5), ("middle", 0), ("output", 3)):
        patched.set_model_attn2_replace(patch, *block)
    return patched


def on_two_devices(model):
    """The MODEL as core's MultiGPU CFG Split prepares it, with a second CPU device in place of a second
    GPU."""
    model = model.clone()
    second = model.deepclone_multigpu(new_load_device=torch.device("cpu", 0))
    second.is_multigpu_base_clone = True
    model.set_additional_models("multigpu", [second])
    model.match_multigpu_clones()
    return model


def compiled(model):
    """TorchCompileModel with a backend that needs no compiler."""
    return made(TorchCompileModel.execute(model, "eager"))


def made(output):
    """The first output of a node, V1 or V3."""
    return getattr(output, "result", output)[0]
