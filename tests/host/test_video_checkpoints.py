"""The published key sets of Stable Video Diffusion and of VideoCrafter2's text encoder through ComfyUI's own
detection, on tensors without data.

That of VideoCrafter2's UNet is in test_golden_video.py.
"""

import comfy.model_detection
import comfy.model_patcher
import comfy.ops
import comfy.supported_models
import comfy.utils
import pytest
import torch
from comfy import model_management
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.text_encoders.sd2_clip import SD2ClipModel
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.presets import PRESETS
from freescale_pack.nodes.backbones.unet import attention_blocks, auto_preset, dilation_convs
from freescale_pack.nodes.backbones.videocrafter.loading import load_file
from freescale_pack.nodes.patching.model import with_settings

from tools.harness.golden_video_cases import OURS, weights_of

from .video_models import FULL_SVD_UNET

PREFIX = "model.diffusion_model."
PARAMETERS = 1_524_623_082
"""Of the published UNet; SVD-XT has the same layers and other weights."""


@pytest.fixture(scope="module")
def published():
    """The checkpoint's tensors of the UNet."""
    unet = UNetModel(
        **FULL_SVD_UNET, device="meta", dtype=torch.float16, operations=comfy.ops.disable_weight_init
    )
    return {PREFIX + name: tensor for name, tensor in unet.state_dict().items()}


def test_the_key_set_is_detected_and_loaded_whole_and_freescale_knows_it(published):
    assert sum(tensor.numel() for tensor in published.values()) == PARAMETERS
    config = comfy.model_detection.model_config_from_unet(published, PREFIX)
    assert type(config) is comfy.supported_models.SVD_img2vid
    config.set_inference_dtype(torch.float16, None)
    with torch.device("meta"):
        model = config.get_model(published, PREFIX, device="meta")
    network = model.diffusion_model
    expected = {name.removeprefix(PREFIX): tensor.shape for name, tensor in published.items()}
    assert {name: tensor.shape for name, tensor in network.state_dict().items()} == expected
    patcher = comfy.model_patcher.ModelPatcher(model, torch.device("cpu"), torch.device("cpu"))
    preset = auto_preset(patcher)
    assert preset is PRESETS["SVD"]
    assert preset.base_for(Size(1152, 2048)) == Size(576, 1024)
    assert len(attention_blocks(network)) == 16
    assert len(dilation_convs(network)) == 9
    with_settings(patcher, preset)


# --- VideoCrafter2's text encoder

WIDTH, LAYERS, WORDS, TOKENS = 1024, 24, 49408, 77
LAYER = {
    "ln_1.weight": (WIDTH,),
    "ln_1.bias": (WIDTH,),
    "attn.in_proj_weight": (3 * WIDTH, WIDTH),
    "attn.in_proj_bias": (3 * WIDTH,),
    "attn.out_proj.weight": (WIDTH, WIDTH),
    "attn.out_proj.bias": (WIDTH,),
    "ln_2.weight": (WIDTH,),
    "ln_2.bias": (WIDTH,),
    "mlp.c_fc.weight": (4 * WIDTH, WIDTH),
    "mlp.c_fc.bias": (4 * WIDTH,),
    "mlp.c_proj.weight": (WIDTH, 4 * WIDTH),
    "mlp.c_proj.bias": (WIDTH,),
}
AROUND = {
    "token_embedding.weight": (WORDS, WIDTH),
    "positional_embedding": (TOKENS, WIDTH),
    "ln_final.weight": (WIDTH,),
    "ln_final.bias": (WIDTH,),
    "text_projection": (WIDTH, WIDTH),
    "logit_scale": (),
}
"""OpenCLIP's ViT-H-14, the text half, by its published names."""
TEXT = "cond_stage_model.model."
TEXT_PARAMETERS = 354_032_641


def test_the_text_encoder_of_the_file_is_loaded_whole_as_stable_diffusion_2s(monkeypatch):
    shapes = {f"transformer.resblocks.{n}.{name}": LAYER[name] for n in range(LAYERS) for name in LAYER}
    shapes |= AROUND
    text = {TEXT + name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    assert sum(tensor.numel() for tensor in text.values()) == TEXT_PARAMETERS
    left, real = [], SD2ClipModel.load_sd

    def load_sd(self, weights):
        found = real(self, weights)
        left.append(found)
        return found

    monkeypatch.setattr(SD2ClipModel, "load_sd", load_sd)
    monkeypatch.setattr(model_management, "text_encoder_initial_device", lambda *args: torch.device("meta"))
    file = {PREFIX + name: tensor for name, tensor in weights_of(OURS).items()} | text
    monkeypatch.setattr(comfy.utils, "load_torch_file", lambda *args, **more: file)
    encoder = load_file("model.ckpt").clip.cond_stage_model
    assert type(encoder) is SD2ClipModel
    missing, unexpected = left[0]
    # What compares texts with images is no part of the encoder.
    assert (len(left), list(missing), list(unexpected)) == (1, [], ["logit_scale"])
    assert (encoder.clip_h.layer, encoder.clip_h.layer_idx) == ("hidden", -2)  # the authors' "penultimate"
