"""The ComfyUI that is carried to a GPU machine runs the pack with the packages of such a machine alone."""

import os
import subprocess
import sys
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path

from tools import ROOT
from tools.bench.on_gpu.carried import ARCHIVE, STAND_INS, unpack

MOST_BYTES = 9_000_000
MOST_ERROR = 1e-4

ON_THE_MACHINE = """
    torch torchgen torchvision torchaudio functorch triton nvidia cuda numpy scipy einops mpmath sympy
    networkx transformers tokenizers safetensors sentencepiece huggingface_hub regex requests
    charset_normalizer idna certifi urllib3 aiohttp multidict yarl frozenlist attr anyio h11 PIL yaml _yaml
    psutil tqdm packaging filelock fsspec jinja2 markupsafe typing_extensions
    pytest _pytest py pluggy iniconfig pygments
"""
"""Top-level modules of the packages that a machine with torch and transformers has."""
IN_PLACE_OF_HTTPX = "httpx2 httpcore2 truststore"  # for the huggingface_hub of this environment
CARRIED = "comfy_aimdo kornia spandrel torchsde trampoline"
"""Of the wheels, which this test does not download: the installed ones have the same version."""
FOUND = {*ON_THE_MACHINE.split(), *IN_PLACE_OF_HTTPX.split(), *CARRIED.split()}

EXTRAS = """
    advanced_samplers custom_sampler differential_diffusion freelunch hypertile model_advanced model_downscale
    pag perpneg sag tomesd torch_compile upscale_model
"""
MODULES = ["nodes", "execution", "latent_preview", *(f"comfy_extras.nodes_{name}" for name in EXTRAS.split())]
"""Of ComfyUI, what nodes/, tests/host and tools/bench import, some of it late."""


class MachinesFinder(PathFinder):
    """Finds no installed package that a GPU machine lacks."""

    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        if path is None and fullname not in FOUND:
            path = [entry for entry in sys.path if "site-packages" not in entry]
        return PathFinder.find_spec(fullname, path, target)


def carry_and_use(folder):
    """In a process of its own: from the import of ComfyUI to a sampled latent and a decoded picture."""
    from tools.bench.gpu_folder import pack_tree

    pack_tree(Path(os.environ["FREESCALE_COMFYUI"]), folder / ARCHIVE)
    sys.meta_path[sys.meta_path.index(PathFinder)] = MachinesFinder
    os.environ["FREESCALE_COMFYUI"] = str(unpack(folder, folder / "unpacked"))
    use()
    origins = [Path(sys.modules[name].__file__) for name in ("comfy.sd", *STAND_INS) if name in sys.modules]
    assert len(origins) > 1 and all(origin.is_relative_to(folder) for origin in origins), origins


def use():
    import tools.harness.in_process  # noqa: F401, I001 (the host, then the pack, ready for use in this process)

    # isort: split
    import comfy.sd
    import torch
    from comfy.ldm.models.autoencoder import AutoencoderKL
    from freescale_pack.nodes.patching.model import with_settings

    from tools.bench.performance.configs import VAE
    from tools.harness.golden_cases import Case, relative_error
    from tools.harness.tiny_unet import tiny_model

    for name in MODULES:
        import_module(name)
    case, model = Case("turbo_2x_fast"), tiny_model()
    with torch.inference_mode():
        latent = case.run(with_settings(model, case.settings(1, model)), 1)
        assert relative_error(latent, case.tensors["latent_stage1"]) < MOST_ERROR
        weights = AutoencoderKL(ddconfig=VAE, embed_dim=4).state_dict()
        vae = comfy.sd.VAE(sd={name: torch.zeros_like(weight) for name, weight in weights.items()})
        assert vae.decode(latent[:, :, :8, :8]).shape == (1, 64, 64, 3)


def test_the_carried_tree_gives_the_authors_result_without_the_hosts_other_packages(tmp_path):
    call = "import sys; from tests.bench import test_gpu_folder as t; t.carry_and_use(t.Path(sys.argv[1]))"
    command = [sys.executable, "-c", call, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / ARCHIVE).stat().st_size < MOST_BYTES
