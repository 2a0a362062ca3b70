"""Writes a tiny SD3 transformer (all zeros) that the stock UNETLoader takes: a real model without a UNet."""

from pathlib import Path

import tools.harness.in_process  # noqa: E402, F401, I001 (puts the host on the path, hence first)

# isort: split
import comfy.ops  # noqa: E402
import safetensors.torch  # noqa: E402
import torch  # noqa: E402
from comfy.ldm.modules.diffusionmodules.mmdit import MMDiT  # noqa: E402

from tools.harness.tiny_transformers import SD3  # noqa: E402

CHANGES = {
    "adm_in_channels": 2048,
    "context_embedder_config": {
        "target": "torch.nn.Linear",
        "params": {"in_features": 4096, "out_features": 64},
    },
    "num_patches": 36864,
    "pos_embed_max_size": 192,
}
"""What the loader knows a real SD3 by."""


def make(models: Path) -> None:
    model = MMDiT(
        **SD3 | CHANGES, device="cpu", dtype=torch.float16, operations=comfy.ops.disable_weight_init
    )
    safetensors.torch.save_file(
        {name: torch.zeros_like(weight) for name, weight in model.state_dict().items()},
        models / "diffusion_models" / "tiny_sd3.safetensors",
    )
