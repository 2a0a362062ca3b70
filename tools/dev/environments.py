"""Virtual environments, made and filled by uv: one per host, for ComfyUI releases pin different frontends,
and one for freescale_batch.

Their packages are hard links into uv's cache below .dev, so that torch lies on the disk once.
"""

import platform
import shutil
import sys
from pathlib import Path

from tools import ROOT
from tools.dev.errors import DevError
from tools.dev.paths import BATCH, DEV, UV_VENV, Host, shown, venv_program
from tools.dev.process import output_of, run_logged
from tools.dev.steps import made_whole, progress

UV = "uv==0.13.9"
UV_VARIABLES = {"UV_CACHE_DIR": str(DEV / "uv-cache"), "UV_PYTHON_DOWNLOADS": "never"}
TORCH = ROOT / "tools" / "dev" / "torch.txt"
DEV_REQUIREMENTS = ROOT / "requirements-dev.txt"
BATCH_TESTS = ROOT / "tests" / "batch" / "requirements.txt"
SATISFIED = "Would make no changes"  # uv's words
DISK_GB = 10.0


def ensure_uv() -> None:
    """Have uv in a small environment, which also has pip."""
    if output_of([venv_program(UV_VENV, "python"), "-m", "uv", "--version"]).split()[:2] == UV.split("=="):
        return
    with progress(UV), made_whole(UV_VENV) as folder:
        run_logged([sys.executable, "-m", "venv", folder], "venv", f"create {shown(UV_VENV)}")
        pip = [venv_program(folder, "python"), "-m", "pip", "install", "--no-input"]
        run_logged([*pip, "--disable-pip-version-check", UV], "pip-uv", f"install {UV}")


def ensure_host_venv(host: Host, group: str | None) -> None:
    """Have in the host's environment what its tree, the tests and the folder `group` require."""
    files = [host.comfyui / "requirements.txt", DEV_REQUIREMENTS]
    files += [ROOT / group / "requirements.txt"] if group else []
    what = f"packages of ComfyUI {host.release} and of {group or 'the tests'}"
    _ensure_venv(host.folder, files, what, " (torch has 5.5 GB)")


def ensure_batch_venv() -> None:
    """Have in an environment of its own what freescale_batch and its tests require."""
    BATCH.mkdir(parents=True, exist_ok=True)
    _ensure_venv(BATCH, [ROOT / "requirements-batch.txt", BATCH_TESTS], "packages of freescale_batch", "")


def _ensure_venv(folder: Path, files: list[Path], what: str, size: str) -> None:
    """Have in the environment folder/venv what the files require. size: told when it is made anew."""
    venv = folder / "venv"
    python = venv_program(venv, "python")
    wanted = [part for file in files for part in ("--requirement", file)]
    uv = venv_program(UV_VENV, "uv")
    install = [uv, "pip", "install", "--python", python, "--override", TORCH, *wanted]
    # Outside the environment. After a kill nobody can tell which packages are whole: all are linked anew.
    unfinished = folder / "unfinished"
    ready = _is_for_this_python(venv) and not unfinished.exists()
    if ready and SATISFIED in output_of([*install, "--dry-run", "--offline"], **UV_VARIABLES):
        return
    if not Path(UV_VARIABLES["UV_CACHE_DIR"]).is_dir():
        _require_disk()
    unfinished.touch()
    with progress(what if ready else what + size):
        log = f"uv-{folder.name}"
        if not ready:
            new = [uv, "venv", "--clear", "--python", sys.executable, venv]
            run_logged(new, log, f"create {shown(venv)}", **UV_VARIABLES)
        run_logged(install, log, "install packages", **UV_VARIABLES)
    unfinished.unlink()


def _require_disk() -> None:
    free = shutil.disk_usage(DEV).free / 1e9
    if free < DISK_GB:
        wanted = f"Expected {DISK_GB:g} GB of free disk for {DEV}"
        raise DevError(f"{wanted}, got {free:.1f} GB: free some and run this again.")


def _is_for_this_python(venv: Path) -> bool:
    file = venv / "pyvenv.cfg"
    lines = file.read_text().splitlines() if file.is_file() else []
    return f"version_info = {platform.python_version()}" in lines and venv_program(venv, "python").exists()
