"""Writes all small models of this tier below a folder like ComfyUI's models: `make_tiny_models FOLDER`."""

import sys
from pathlib import Path

from tests.server import (
    make_tiny_control_net,
    make_tiny_sd3,
    make_tiny_svd,
    make_tiny_transformers,
    make_tiny_videocrafter,
)

KINDS = ("checkpoints", "controlnet", "diffusion_models", "vae")
MAKERS = (make_tiny_sd3, make_tiny_control_net, make_tiny_videocrafter, make_tiny_svd, make_tiny_transformers)

if __name__ == "__main__":
    models = Path(sys.argv[1])
    for kind in KINDS:
        (models / kind).mkdir()
    for maker in MAKERS:
        maker.make(models)
