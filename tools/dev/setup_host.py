"""From nothing to a host that can run: uv, ComfyUI's tree, its packages, its base directory."""

import hashlib
from pathlib import Path

from tools.dev.base_directory import ensure_base
from tools.dev.environments import ensure_batch_venv, ensure_host_venv, ensure_uv
from tools.dev.errors import DevError
from tools.dev.paths import DEV, Host
from tools.dev.releases import RELEASES, ensure_tree, tree_version
from tools.dev.steps import exclusive


def selected_host(release: str, comfyui: str | None) -> Host:
    """The host that --host and --comfyui name; nothing is made yet."""
    if comfyui is not None:
        tree = Path(comfyui).expanduser().resolve()
        name = hashlib.sha256(str(tree).encode()).hexdigest()[:8]
        return Host(tree_version(tree), tree, DEV / f"external-{name}")
    if release not in RELEASES:
        names = " or ".join(RELEASES)
        raise DevError(f"Expected --host {names}, got {release}: choose one of them or give --comfyui PATH.")
    return Host(release, DEV / release / "ComfyUI", DEV / release)


def set_up(host: Host, group: str | None = None) -> None:
    """Make what is missing, with what the folder `group` requires; takes no time when all is there."""
    host.folder.mkdir(parents=True, exist_ok=True)
    with exclusive(DEV / "lock"):
        ensure_uv()
        if not host.is_external:
            ensure_tree(RELEASES[host.release], host.comfyui)
        ensure_host_venv(host, group)
        ensure_base(host)


def set_up_batch() -> None:
    """Make the environment of freescale_batch, if it is missing."""
    with exclusive(DEV / "lock"):
        ensure_uv()
        ensure_batch_venv()
