"""The figures of one run as a JSON file, written anew after every row, so that a run that is cut off still
counts."""

import json
import os
import time
from pathlib import Path
from typing import Any

Row = dict[str, Any]
"""One line of what a step found."""


class Record:
    """steps: name -> state ("running", "done", "failed", "no time left"), seconds, rows, flags of ComfyUI,
    and error."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.data: dict[str, Any] = {"steps": {}}
        if file.exists():
            self.data = json.loads(file.read_text(encoding="utf-8"))
        self._started = 0.0

    @property
    def steps(self) -> dict[str, Any]:
        steps: dict[str, Any] = self.data["steps"]
        return steps

    def begin(self, name: str, flags: list[str], commit: str | None) -> None:
        """commit: of the code, since a record may be filled by several runs."""
        self._started = time.monotonic()
        self.steps[name] = {
            "state": "running",
            "begun": time.time(),
            "flags": flags,
            "commit": commit,
            "rows": [],
        }
        self.save()

    def add(self, name: str, row: dict[str, Any]) -> None:
        self.steps[name]["rows"].append(row)
        self.save()

    def end(self, name: str, state: str, error: str | None = None) -> None:
        step = self.steps.setdefault(name, {"rows": []})
        step["state"] = state
        if state == "done":
            step["seconds"] = round(time.monotonic() - self._started, 1)
        if error is not None:
            step["error"] = error
        self.save()

    def save(self) -> None:
        """At once or not at all."""
        written = self.file.with_suffix(".part")
        written.write_text(json.dumps(self.data, indent=1) + "\n", encoding="utf-8")
        os.replace(written, self.file)
