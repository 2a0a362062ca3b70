"""What the machine must offer before anything is started."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

from tools.dev.errors import DevError


def require_disk(folder: Path, gigabytes: float) -> None:
    free = shutil.disk_usage(folder).free / 1e9
    if free < gigabytes:
        raise DevError(
            f"Expected {gigabytes:g} GB of free disk for {folder}, got {free:.1f} GB: free some space and "
            "run this again."
        )


def require_free_port(port: int) -> None:
    with socket.socket() as probe:
        probe.settimeout(2)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise DevError(
                f"Expected a free port, got {port}, which is in use: end the program there or choose another "
                "with --port."
            )
