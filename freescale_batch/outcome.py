"""What became of a job."""

import os
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["done", "failed", "not run"]


@dataclass(frozen=True)
class Outcome:
    """status: "not run" if the worker, not the job, is at fault; such a job stays open for the next command.

    worker: which GPU or process did it. process: the worker's own, for two may share a GPU.
    seconds: of the job alone.
    """

    id: str
    status: Status
    worker: str
    seconds: float = 0.0
    error: str = ""
    process: int = field(default_factory=os.getpid)

    def row(self) -> dict[str, Any]:
        """For Ray: plain values."""
        return dict(vars(self))
