"""Writes a VideoCrafter2 file in small, for Load VideoCrafter2: random weights under the published names.

It has the demo model's VAE and no text encoder; its text is as wide as the demo model's.
"""

from pathlib import Path

import tools.harness.in_process  # noqa: E402, F401, I001 (puts the host on the path, hence first)

# isort: split
import safetensors.torch  # noqa: E402
import torch  # noqa: E402
from comfy.utils import state_dict_prefix_replace  # noqa: E402
from freescale_pack.nodes.backbones.videocrafter.checkpoint import UNET, VAE  # noqa: E402
from freescale_pack.nodes.backbones.videocrafter.model import RENAMED  # noqa: E402
from freescale_pack.nodes.backbones.videocrafter.network import VideoCrafterUNet  # noqa: E402

from tests.host.test_golden_video import FULL_SIZE  # noqa: E402
from tests.server.tiny_video_prompts import VIDEOCRAFTER  # noqa: E402
from tools.demo.host_extension import TEXT_WIDTH  # noqa: E402
from tools.harness.demo_checkpoint import demo_checkpoint  # noqa: E402
from tools.harness.random_weights import random_weights  # noqa: E402

CHANGES = {"model_channels": 32, "adm_in_channels": 32, "num_head_channels": 8, "context_dim": 2 * TEXT_WIDTH}
"""What the file is smaller by; the layers are the published 1484 tensors'."""


def make(models: Path) -> None:
    unet = VideoCrafterUNet(**FULL_SIZE | CHANGES, device="cpu", dtype=torch.float32)
    vae = demo_checkpoint()[2].first_stage_model.state_dict()
    published = state_dict_prefix_replace(
        random_weights(unet), {ours: theirs for theirs, ours in RENAMED.items()}
    )
    weights = {UNET + name: weight for name, weight in published.items()}
    weights |= {VAE + name: weight.contiguous() for name, weight in vae.items()}
    safetensors.torch.save_file(weights, models / "checkpoints" / VIDEOCRAFTER)
