"""The core knows no host: importing all of it must not import ComfyUI, nor move a global random generator."""

import pkgutil
import subprocess
import sys
from pathlib import Path

import freescale_core

REPO = Path(__file__).resolve().parents[2]
HOST_MODULES = ("comfy", "comfy_api", "comfy_extras", "nodes", "folder_paths", "server", "execution")


def run(code):
    return subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True).stdout.split()


def test_importing_every_core_module_imports_nothing_of_the_host():
    names = [f"freescale_core.{module.name}" for module in pkgutil.iter_modules(freescale_core.__path__)]
    loaded = run(f"import sys, {', '.join(names)}; print(*sys.modules)")
    assert set(names) <= set(loaded)
    assert not [name for name in loaded if name.split(".")[0] in HOST_MODULES]


def test_importing_the_core_leaves_global_generators_alone():
    code = "import random, numpy, torch; s = (random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist());"
    code += "import freescale_core.windows, freescale_core.scale_fusion, freescale_core.presets;"
    code += "print(s == (random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()))"
    assert run(code) == ["True"]
