"""A tree with a stand-in of ComfyUI, a workflow for it and an output folder of freescale_batch."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STAND_IN = Path(__file__).with_name("batch_stand_in.py")
WORKFLOW: dict[str, dict[str, Any]] = {
    "1": {"class_type": "Load", "inputs": {"ckpt": "a"}},
    "3": {
        "class_type": "KSampler",
        "inputs": {"seed": 1, "cfg": 3.0, "tiled": False, "positive": ["6", 0], "model": ["1", 0]},
    },
    "6": {
        "class_type": "CLIPTextEncode",
        "inputs": {"text": "a castle", "clip": ["1", 1]},
        "_meta": {"title": "Prompt"},
    },
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "a", "images": ["3", 0]}},
    "10": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
}


@dataclass
class Place:
    """A stand-in's tree, a workflow for it and an output folder, all below `folder`."""

    folder: Path

    @property
    def tree(self) -> Path:
        return self.folder / "ComfyUI"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def workflow(self) -> Path:
        return self.folder / "workflow.json"

    def make(self) -> None:
        (self.tree / "input").mkdir(parents=True)
        (self.tree / "input" / "example.png").write_bytes(b"example")
        shutil.copy(STAND_IN, self.tree / "main.py")
        self.workflow.write_text(json.dumps(WORKFLOW))

    def write_jobs(self, jobs: list[dict], name: str = "jobs.jsonl") -> Path:
        file = self.folder / name
        file.write_text("".join(f"{json.dumps(job)}\n" for job in jobs))
        return file

    def words(self, jobs: Path, *more: str) -> list[str]:
        """The command line that runs a jobs file here."""
        words = [str(jobs), "--workflow", str(self.workflow), "--out", str(self.out)]
        return [*words, "--comfyui", str(self.tree), "--cpu", *more]

    def runs(self) -> list[str]:
        """The texts that stand-ins were asked to run, in order."""
        log = self.tree / "runs.log"
        return log.read_text().splitlines() if log.is_file() else []

    def given(self, name: str) -> list[str | None]:
        """The values of a variable of the environment at each start of a stand-in."""
        return [json.loads(line)[name] for line in (self.tree / "starts.log").read_text().splitlines()]

    def open_gate(self) -> None:
        """Let all jobs with the word `gate` end."""
        (self.tree / "open").touch()

    def results(self, name: str = "result.json") -> dict[str, dict]:
        """Id -> record of the jobs that have one."""
        return {file.parent.name: json.loads(file.read_text()) for file in self.out.glob(f"*/*/{name}")}

    def pictures(self) -> dict[str, bytes]:
        """Path -> bytes of all that jobs drew."""
        return {str(file.relative_to(self.out)): file.read_bytes() for file in self.out.glob("*/*/*.png")}


def text_jobs(*texts: str) -> list[dict]:
    """Jobs a, b, c, ... with these texts."""
    return [{"id": chr(ord("a") + n), "set": {"6.text": text, "3.seed": n}} for n, text in enumerate(texts)]
