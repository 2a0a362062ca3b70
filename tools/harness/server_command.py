"""How ComfyUI is started."""

from __future__ import annotations

from pathlib import Path


def server_command(python: Path, comfyui: Path, base: Path, port: int, *, gpu: bool = False) -> list[str]:
    """The command of a server that reads and writes below `base` alone and calls nobody."""
    device = [] if gpu else ["--cpu"]
    folders = ["--base-directory", str(base), "--user-directory", str(base / "user")]
    quiet = ["--disable-api-nodes", "--database-url", "sqlite:///:memory:"]
    return [str(python), str(comfyui / "main.py"), *device, "--port", str(port), *folders, *quiet]
