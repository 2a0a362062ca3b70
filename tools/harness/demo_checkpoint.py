"""The project's demo checkpoint, loaded by the host's own loader: MODEL, CLIP and VAE of one tiny SDXL."""

import importlib.util
import sys
from functools import cache

import comfy.sd

from tools import ROOT

DEMO = ROOT / "tools" / "demo"


@cache
def demo_checkpoint():
    """(model, clip, vae); shared by the tests of one process, as one server shares it between prompts."""
    return load_checkpoint(DEMO / "tiny_sdxl.safetensors")


def load_checkpoint(path):
    """(model, clip, vae) of any checkpoint that ComfyUI knows, the demo model among them."""
    _make_known()
    return comfy.sd.load_checkpoint_guess_config(str(path))[:3]


@cache
def _make_known():
    """Have ComfyUI know the demo model."""
    spec = importlib.util.spec_from_file_location(
        "freescale_demo_model", DEMO / "host_extension" / "__init__.py"
    )
    extension = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = extension
    spec.loader.exec_module(extension)


def conditioning(text):
    clip = demo_checkpoint()[1]
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))
