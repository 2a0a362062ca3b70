"""Writes a ControlNet with random weights that fits the demo model, for the stock ControlNetLoader."""

from pathlib import Path

import tools.harness.in_process  # noqa: E402, F401, I001 (puts the host on the path, hence first)

# isort: split
import safetensors.torch  # noqa: E402
import torch  # noqa: E402

from tests.host.composition_features import control_net  # noqa: E402
from tools.harness.demo_prompts import CONTROL_NET  # noqa: E402


def make(models: Path) -> None:
    with torch.no_grad():
        weights = control_net().control_model.state_dict()
    safetensors.torch.save_file(
        {name: weight.half().contiguous() for name, weight in weights.items()},
        models / "controlnet" / CONTROL_NET,
    )
