"""Training states on disk, whole or not at all."""

from pathlib import Path
from typing import Any

import torch


def save(state: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.rename(path)
