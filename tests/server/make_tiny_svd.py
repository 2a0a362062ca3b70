"""Writes a Stable Video Diffusion file in small, for Image Only Checkpoint Loader and the extension tiny_svd.

Random weights under the published names, the demo model's VAE, a small CLIP vision model.
"""

from pathlib import Path

import tools.harness.in_process  # noqa: E402, F401, I001 (puts the host on the path, hence first)

# isort: split
import comfy.clip_vision  # noqa: E402
import comfy.ops  # noqa: E402
import safetensors.torch  # noqa: E402
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel  # noqa: E402

from tests.host.video_models import FULL_SVD_UNET  # noqa: E402
from tests.server.extensions.tiny_svd import CONTEXT_WIDTH, VISION_CONFIG, TinySVD  # noqa: E402
from tests.server.tiny_video_prompts import SVD  # noqa: E402
from tools.harness.demo_checkpoint import demo_checkpoint  # noqa: E402
from tools.harness.random_weights import random_weights  # noqa: E402

CHANGES = {"model_channels": 32, "context_dim": CONTEXT_WIDTH, "num_head_channels": 8}


def make(models: Path) -> None:
    unet = UNetModel(**FULL_SVD_UNET | CHANGES, operations=comfy.ops.disable_weight_init)
    parts = {
        "model.diffusion_model.": random_weights(unet),
        TinySVD.clip_vision_prefix: random_weights(comfy.clip_vision.ClipVisionModel(VISION_CONFIG).model),
        "first_stage_model.": demo_checkpoint()[2].first_stage_model.state_dict(),
    }
    safetensors.torch.save_file(
        {
            prefix + name: weight.contiguous()
            for prefix, weights in parts.items()
            for name, weight in weights.items()
        },
        models / "checkpoints" / SVD,
    )
