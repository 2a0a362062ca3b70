"""What the machine must offer before anything is started."""

from __future__ import annotations

import importlib.util
import shutil
import socket
from pathlib import Path

from tools.dev.errors import DevError


def require_venv() -> None:
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        names = " and ".join(missing)
        raise DevError(
            f"Expected a Python with the venv module, got one without {names}: install it (Debian: apt "
            "install python3-venv)."
        )


def require_disk(folder: Path, gigabytes: float) -> None:
    free = shutil.disk_usage(folder).free / 1e9
    if free < gigabytes:
        raise DevError(
            f"Expected {gigabytes:g} GB of free disk for {folder}, got {free:.1f} GB: free some space and "
            "run this again."
        )


def require_free_port(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise DevError(
                f"Expected a free port, got {port}, which is in use: end the program there or choose another "
                "with --port."
            )
