"""Make .dev/gpu, what a GPU machine without network needs beyond torch: python3 dev.py bench gpu_folder.

A pruned ComfyUI and the wheels of a few packages; tools/bench/on_gpu/carried.py unpacks them there.
"""

import argparse
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Final

from tools import ROOT
from tools.bench.on_gpu.carried import ARCHIVE, TREE, WHEELS
from tools.dev.paths import UV_VENV, venv_program

FOLDER = ROOT / ".dev" / "gpu"
MOST_BYTES = 12_000_000
PACKAGES = ("comfy-aimdo", "kornia", "spandrel", "torchsde", "trampoline")
"""Needed by ComfyUI or by the pack, and absent from a machine that has torch and transformers."""
PYTHON = "3.12"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")

KEPT_FOLDERS = ("comfy", "comfy_api", "comfy_execution", "comfy_extras")
SERVER_SCRIPTS = ("main.py", "server.py")
SDXL_TOKENIZER = "sd1_tokenizer"
XZ_PRESET: Final = 1
"""The default takes six times as long and saves a sixth of the bytes."""


def main() -> int:
    description = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="dev.py bench gpu_folder", description=description)
    parser.parse_args()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    pack_tree(Path(os.environ["FREESCALE_COMFYUI"]), FOLDER / ARCHIVE)
    download_wheels(FOLDER / WHEELS)
    sizes = {path: path.stat().st_size for path in sorted(FOLDER.rglob("*")) if path.is_file()}
    for path, size in sizes.items():
        print(f"{size:>10,} bytes  {path.relative_to(FOLDER)}")
    total = sum(sizes.values())
    print(f"{total:>10,} bytes in all")
    if total > MOST_BYTES:
        sys.exit(f"Expected at most {MOST_BYTES:,} bytes in .dev/gpu, got {total:,}: leave more out.")
    return 0


def pack_tree(tree: Path, archive: Path) -> None:
    """Write what in-process use of the ComfyUI `tree` needs to an archive, the same for the same files."""
    with tarfile.open(archive, "w:xz", preset=XZ_PRESET) as packed:
        for path in kept_files(tree):
            packed.add(path, f"{TREE}/{path.relative_to(tree).as_posix()}", filter=_without_origin)


def kept_files(tree: Path) -> list[Path]:
    scripts = [path for path in tree.glob("*.py") if path.name not in SERVER_SCRIPTS]
    modules = [path for name in KEPT_FOLDERS for path in (tree / name).rglob("*") if path.is_file()]
    paths = [tree / "LICENSE", *scripts, *modules]
    return sorted(path for path in paths if not _left_out(path.relative_to(tree)))


def _left_out(path: Path) -> bool:
    """True for compiled files and for vocabularies of other text encoders than SDXL's, most of the bytes."""
    folders = path.parts[:-1]
    vocabulary = any(name.endswith("_tokenizer") for name in folders) and path.suffix != ".py"
    return "__pycache__" in folders or (vocabulary and SDXL_TOKENIZER not in folders)


def _without_origin(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    info.mode = 0o644
    return info


def download_wheels(folder: Path) -> None:
    """Fetch the versions that this environment has, for the GPU machine's Python."""
    pinned = [f"{name}=={importlib.metadata.version(name)}" for name in PACKAGES]
    platforms = [f"--platform={name}" for name in PLATFORMS]
    pip = [str(venv_program(UV_VENV, "python")), "-m", "pip"]
    command = [*pip, "download", "-qq", "--no-deps", "--only-binary=:all:"]
    target = ["--python-version", PYTHON, "--implementation", "cp", *platforms, "--dest", str(folder)]
    status = subprocess.run([*command, *target, *pinned]).returncode
    if status:
        names = ", ".join(pinned)
        sys.exit(f"Expected the wheels of {names}, got pip's exit status {status}: see its message above.")


if __name__ == "__main__":
    sys.exit(main())
