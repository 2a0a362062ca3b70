"""How ComfyUI is started as a server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

# Two OpenMP runtimes that spin on few shared cores can slow a tiny UNet 200-fold.
OPENMP = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
"""Environment variables for every process that runs ComfyUI on a CPU."""


def server_command(
    python: str | Path,
    comfyui: Path,
    base: Path,
    port: int,
    *,
    gpu: bool = False,
    folders: Mapping[str, Path] | None = None,
) -> list[str]:
    """The command of a server that calls nobody.

    base: custom nodes and models, and all that it reads or writes but for `folders` (user, output, temp,
    input).
    """
    places = {"base": base, "user": base / "user"} | dict(folders or {})
    return [
        *(str(python), str(comfyui / "main.py"), *([] if gpu else ["--cpu"]), "--port", str(port)),
        *("--disable-api-nodes", "--database-url", "sqlite:///:memory:"),
        *(word for name, folder in places.items() for word in (f"--{name}-directory", str(folder))),
    ]
