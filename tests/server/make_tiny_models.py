"""Writes all small models of this tier below a folder like ComfyUI's models: `make_tiny_models FOLDER`."""

import sys
from pathlib import Path

from tests.server.make_tiny_control_net import make as make_control_net
from tests.server.make_tiny_sd3 import make as make_sd3
from tests.server.make_tiny_svd import make as make_svd
from tests.server.make_tiny_transformers import make as make_transformers
from tests.server.make_tiny_videocrafter import make as make_videocrafter

KINDS = ("checkpoints", "controlnet", "diffusion_models", "vae")
MAKERS = (make_sd3, make_control_net, make_videocrafter, make_svd, make_transformers)

if __name__ == "__main__":
    models = Path(sys.argv[1])
    for kind in KINDS:
        (models / kind).mkdir()
    for make in MAKERS:
        make(models)
