"""The published key set of Stable Video Diffusion through ComfyUI's own detection, on tensors without data.

VideoCrafter2's is in test_golden_video.py.
"""

import comfy.model_detection
import comfy.model_patcher
import comfy.ops
import comfy.supported_models
import pytest
import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.presets import PRESETS
from freescale_pack.nodes.backbones.unet import attention_blocks, auto_preset, dilation_convs
from freescale_pack.nodes.patching.model import with_settings

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
