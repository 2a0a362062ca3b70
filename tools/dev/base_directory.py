"""ComfyUI's base directory of a host: the pack and the demo model, linked from the repository."""

import filecmp
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
    nodes = host.base / "custom_nodes"
    link_entries(nodes / PACK, shipped_entries())
    targets = {nodes / "freescale_demo_model": DEMO / "host_extension"}
    for checkpoint in DEMO.glob("*.safetensors"):
        targets[host.base / "models" / "checkpoints" / checkpoint.name] = checkpoint
    targets[host.base / "input" / "example.png"] = host.comfyui / "input" / "example.png"
    for place, target in targets.items():
        if target.exists():  # an input folder that someone keeps clean may lack the example
            link(place, target)


def demo_workflow(host: Host) -> str:
    """The name of a workflow in the user's folder that runs on the demo model; an earlier one stays as it
    is."""
    file = host.base / "user" / "default" / "workflows" / "FreeScale demo.json"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(DEMO / "freescale_demo.json", file)
    return file.stem


def shipped_entries() -> list[str]:
    """Names at the repository's top that users get."""
    names = (path.name for path in ROOT.iterdir())
    return sorted(name for name in names if name not in NOT_SHIPPED and not name.startswith((".", "__pyc")))


def link_entries(folder: Path, names: list[str]) -> None:
    """Make `folder` hold links to these of the repository's entries, and nothing else.

    A link to the repository itself would hold .dev, hence itself: ComfyUI follows links and walked in circles
    on GET /models/custom_nodes.
    """
    if folder.is_symlink():
        folder.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        link(folder / name, ROOT / name)
    for left in folder.iterdir():
        if left.name not in names and left.name != "__pycache__":
            _unlink(left)


def link(place: Path, target: Path) -> None:
    """Link to a file or a folder; on Windows without the privilege for links a copy or a junction."""
    if place.exists() and (place.samefile(target) or filecmp.cmp(place, target)):
        return
    _unlink(place)
    try:
        place.symlink_to(target, target_is_directory=target.is_dir())
    except OSError:
        if sys.platform != "win32":
            raise
        if target.is_dir():
            import _winapi

            _winapi.CreateJunction(str(target), str(place))
        else:
            shutil.copy2(target, place)


def _unlink(link: Path) -> None:
    """Remove a link, a broken one too; never what it points to."""
    if link.is_symlink() or link.is_file():
        link.unlink()
    elif link.exists():
        os.rmdir(link)  # a junction; a real folder with files is somebody's work and stays, with an error
