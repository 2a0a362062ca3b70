"""From nothing to a host that can run: disk, torch, ComfyUI's tree, its packages, its base directory."""

from __future__ import annotations

from pathlib import Path

from tools.dev.base_directory import ensure_base
from tools.dev.environments import ensure_group, ensure_host_venv, ensure_torch, torch_is_ready
from tools.dev.errors import DevError
from tools.dev.lock import exclusive
from tools.dev.machine import require_disk, require_venv
from tools.dev.paths import DEV, TORCH_VENV, Host, venv_python
from tools.dev.releases import RELEASES, ensure_tree, tree_version
from tools.dev.steps import digest

DISK_GB = 10.0


def selected_host(release: str, comfyui: str | None) -> Host:
    """The host that --host and --comfyui name; nothing is made yet."""
    if comfyui is not None:
        tree = Path(comfyui).expanduser().resolve()
        return Host(tree_version(tree), tree, DEV / f"external-{digest(str(tree))[:8]}")
    if release not in RELEASES:
        raise DevError(
            f"Expected --host {' or '.join(RELEASES)}, got {release}: choose one of them or give --comfyui "
            "PATH."
        )
    return Host(release, DEV / release / "ComfyUI", DEV / release)


def set_up(host: Host, group: str | None = None) -> None:
    """Make what is missing; takes no time when all is there. group: folder whose requirements.txt is needed,
    too."""
    require_venv()
    host.folder.mkdir(parents=True, exist_ok=True)
    with exclusive(DEV / "lock"):
        if not torch_is_ready():
            require_disk(DEV, DISK_GB)
        ensure_torch()
        if not host.is_external:
            ensure_tree(RELEASES[host.release], host.comfyui, venv_python(TORCH_VENV))
        ensure_host_venv(host)
        if group is not None:
            ensure_group(host, group)
        ensure_base(host)
