"""The core knows no host: importing all of it must not import ComfyUI, nor move a global random generator."""

import pkgutil
import subprocess
import sys

import freescale_core
from tools import ROOT

HOST_MODULES = ("comfy", "comfy_api", "comfy_extras", "nodes", "folder_paths", "server", "execution")


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()


def test_importing_every_core_module_imports_nothing_of_the_host():
    found = pkgutil.walk_packages(freescale_core.__path__, "freescale_core.")
    names = [module.name for module in found]
    assert {"freescale_core.settings", "freescale_core.attention.fusion"} <= set(names)
    loaded = run(f"import sys, {', '.join(names)}; print(*sys.modules)")
    assert set(names) <= set(loaded)
    assert not [name for name in loaded if name.split(".")[0] in HOST_MODULES]


def test_importing_the_core_leaves_global_generators_alone():
    states = "(random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist())"
    code = f"import random, numpy, torch; before = {states};"
    code += "import freescale_core.attention.fusion, freescale_core.presets;"
    code += f"print(before == {states})"
    assert run(code) == ["True"]
