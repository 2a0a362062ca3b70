"""Where everything lies. All that set-up makes is below the git-ignored .dev folder."""

import sys
from dataclasses import dataclass
from pathlib import Path

from tools import ROOT

DEV = ROOT / ".dev"
LOGS = DEV / "logs"
UV_VENV = DEV / "uv"
TESTS = ROOT / "tests"
PACK = "ComfyUI-FreeScale"
BATCH = DEV / "batch"
"""Where freescale_batch's packages are: an environment apart from ComfyUI's."""
NOT_SHIPPED = (
    *("tests", "tools", "docs", "dev.py", ".github", ".ci", "requirements-dev.txt"),
    *("freescale_batch", "requirements-batch.txt"),
)


@dataclass(frozen=True)
class Host:
    """One ComfyUI: its tree and the folder of our own things for it."""

    release: str
    comfyui: Path
    folder: Path

    @property
    def venv(self) -> Path:
        return self.folder / "venv"

    @property
    def base(self) -> Path:
        return self.folder / "base"

    @property
    def python(self) -> Path:
        return venv_program(self.venv, "python")

    @property
    def is_external(self) -> bool:
        """True for a tree given by --comfyui, which is never written to."""
        return self.folder not in self.comfyui.parents


def venv_program(venv: Path, name: str) -> Path:
    return venv / (f"Scripts/{name}.exe" if sys.platform == "win32" else f"bin/{name}")


def shown(path: Path) -> str:
    """`path` as the user would type it from the repository."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
