"""What became of a job."""

from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["done", "failed", "not run"]


@dataclass(frozen=True)
class Outcome:
    """status: "not run" if the worker, not the job, is at fault; such a job stays open for the next command.

    worker: which GPU or process did it. seconds: of the job alone. process: the worker's, for two may share a
    GPU. workers: how many the command has.
    """

    id: str
    status: Status
    worker: str
    seconds: float = 0.0
    error: str = ""
    process: int = 0
    workers: int = 1

    def row(self) -> dict[str, Any]:
        """For Ray: plain values."""
        return dict(vars(self))
