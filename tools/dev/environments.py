"""Virtual environments: one that holds torch, shared, and one per host that sees it through a .pth file.

ComfyUI releases pin different frontends, so hosts cannot share one environment; torch alone is 5 GB, so it is
installed once. A half-made environment is thrown away and made again: after a kill nobody can tell which of
its packages are whole.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tools import ROOT
from tools.dev.paths import TORCH_VENV, Host, shown, venv_python
from tools.dev.process import clean_environment, run_logged
from tools.dev.steps import digest, is_done, mark_done, progress, remove

TORCH = ("torch==2.14.1", "torchvision==0.29.1")
TORCHAUDIO = "torchaudio==2.11.0"
BUILD_TOOLS = ("setuptools", "wheel")  # ComfyUI's sdist needs them to tell its own name
TORCH_PACKAGES = ("torch", "torchvision", "torchaudio")
DEV_REQUIREMENTS = ROOT / "requirements-dev.txt"
PYTHON = f"{sys.version} {sys.base_prefix}"


def torch_is_ready() -> bool:
    return is_done(TORCH_VENV, _torch_inputs())


def ensure_torch() -> None:
    if torch_is_ready():
        return
    with progress(f"{', '.join(TORCH)} (about 5.5 GB)"):
        python = _new_venv(TORCH_VENV)
        _pip(python, "torch", *BUILD_TOOLS, *TORCH)
        # Its pin of an older torch is dropped on purpose: it works beside this one, and ComfyUI imports it at
        # start.
        _pip(python, "torchaudio", "--no-deps", TORCHAUDIO)
        mark_done(TORCH_VENV, _torch_inputs())


def ensure_host_venv(host: Host) -> None:
    wanted = host_requirements(host.comfyui)
    inputs = digest(PYTHON, _torch_inputs(), wanted)
    if is_done(host.venv, inputs):
        return
    with progress(f"packages of ComfyUI {host.release} and test tools"):
        python = _new_venv(host.venv)
        (_site_packages(python) / "shared_torch.pth").write_text(
            f"{_site_packages(venv_python(TORCH_VENV))}\n"
        )
        requirements = host.venv / "requirements.txt"
        requirements.write_text(wanted)
        _pip(python, host.folder.name, "-r", requirements)
        mark_done(host.venv, inputs)


def ensure_group(host: Host, folder: str) -> None:
    """Have the packages of `folder`/requirements.txt in the host's environment, on top of what the tests
    need."""
    requirements = ROOT / folder / "requirements.txt"
    stamp = host.venv / "groups" / folder  # inside, so that a new environment has none of them
    inputs = digest(requirements.read_text())
    if is_done(stamp, inputs):
        return
    with progress(f"packages of {folder}"):
        _pip(host.python, f"{host.folder.name}-{folder.replace('/', '-')}", "-r", requirements)
        stamp.mkdir(parents=True, exist_ok=True)
        mark_done(stamp, inputs)


def host_requirements(tree: Path) -> str:
    """The tree's requirements without its torch lines, then the test tools."""
    lines = [
        line
        for line in (tree / "requirements.txt").read_text().splitlines()
        if _package(line) not in TORCH_PACKAGES
    ]
    return "\n".join([*lines, DEV_REQUIREMENTS.read_text()])


def _package(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement.strip(), maxsplit=1)[0].lower()


def _torch_inputs() -> str:
    return digest(PYTHON, *TORCH, TORCHAUDIO, *BUILD_TOOLS)


def _new_venv(folder: Path) -> Path:
    remove(folder)
    run_logged([sys.executable, "-m", "venv", folder], "venv", f"create {shown(folder)}")
    return venv_python(folder)


def _pip(python: Path, log_name: str, *arguments: str | Path) -> None:
    options = ["--no-input", "--progress-bar", "off", "--disable-pip-version-check"]
    run_logged([python, "-m", "pip", "install", *options, *arguments], f"pip-{log_name}", "install packages")


def playwright_node(python: Path) -> Path:
    """The Node.js that playwright brings along in `python`'s environment."""
    return (
        _site_packages(python) / "playwright" / "driver" / ("node.exe" if sys.platform == "win32" else "node")
    )


def _site_packages(python: Path) -> Path:
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    found = subprocess.run(
        [str(python), "-c", code], env=clean_environment(), capture_output=True, text=True, check=True
    )
    return Path(found.stdout.strip())
