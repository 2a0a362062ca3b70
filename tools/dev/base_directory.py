"""ComfyUI's base directory of a host: the pack, the demo model's host extension and its checkpoints, linked
from the repository."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from tools import ROOT
from tools.dev.paths import NOT_SHIPPED, PACK, Host

FOLDERS = ("custom_nodes", "models/checkpoints", "input", "output", "temp", "user")
DEMO = ROOT / "tools" / "demo"


def ensure_base(host: Host) -> None:
    for name in FOLDERS:
        (host.base / name).mkdir(parents=True, exist_ok=True)
    nodes, checkpoints = host.base / "custom_nodes", host.base / "models" / "checkpoints"
    link_entries(nodes / PACK, shipped_entries())
    extension = DEMO / "host_extension"
    if extension.is_dir():
        link_folder(nodes / "freescale_demo_model", extension)
    for checkpoint in sorted(DEMO.glob("*.safetensors")):
        link_file(checkpoints / checkpoint.name, checkpoint)
    example = host.comfyui / "input" / "example.png"
    if example.is_file():  # a folder that someone keeps clean may lack it
        link_file(host.base / "input" / example.name, example)


def shipped_entries() -> list[str]:
    """Names at the repository's top that users get."""
    hidden = [path.name for path in ROOT.iterdir() if path.name.startswith((".", "__pycache__"))]
    return sorted({path.name for path in ROOT.iterdir()} - {*NOT_SHIPPED, *hidden})


def link_entries(folder: Path, names: list[str]) -> None:
    """Make `folder` hold links to these of the repository's entries, and nothing else.

    A link to the repository itself would hold .dev, hence itself: ComfyUI follows links and walked in circles
    on GET /models/custom_nodes.
    """
    if folder.is_symlink():
        folder.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        link = link_folder if (ROOT / name).is_dir() else link_file
        link(folder / name, ROOT / name)
    for left in folder.iterdir():
        if left.name not in names and left.name != "__pycache__":
            _unlink(left)


def link_folder(link: Path, target: Path) -> None:
    if link.exists() and link.samefile(target):
        return
    _unlink(link)
    try:
        link.symlink_to(target, target_is_directory=True)
    except OSError:
        if sys.platform != "win32":
            raise
        import _winapi  # a symbolic link needs a privilege on Windows, a junction does not

        _winapi.CreateJunction(str(target), str(link))


def link_file(link: Path, target: Path) -> None:
    """A link to a file, or on Windows without the privilege for links a copy."""
    if link.exists() and (link.samefile(target) or _same_copy(link, target)):
        return
    _unlink(link)
    try:
        link.symlink_to(target)
    except OSError:
        if sys.platform != "win32":
            raise
        shutil.copy2(target, link)


def _same_copy(one: Path, other: Path) -> bool:
    a, b = one.stat(), other.stat()
    return (a.st_size, a.st_mtime) == (b.st_size, b.st_mtime)


def _unlink(link: Path) -> None:
    """Remove a link, a broken one too; never what it points to."""
    if link.is_symlink() or link.is_file():
        link.unlink()
    elif link.exists():
        os.rmdir(link)  # a junction; a real folder with files is somebody's work and stays, with an error
