"""Finished points of an earlier run whose images are gone: their figures and draws, from that run's page.

So a long run can go on on another machine without carrying gigabytes of images there.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tools.bench.picture_quality.curves import Samples
from tools.bench.picture_quality.experiment import Job, Subject, Table, shots
from tools.bench.picture_quality.figures import MEASURES, weights_of
from tools.bench.picture_quality.store import Store, file_digest

PAGE, DRAWS = "quality.json", "quality_draws.npz"
JUDGE_FILES = ("features.py", "figures.py", "judge.py", "metrics.py")
"""What figures follow from, beside the images."""
SEVERAL = "several states"


class Finished:
    """What `folder` holds of the same experiment; nothing without a folder.

    made_with: what all figures of the new page follow from.
    """

    def __init__(self, folder: Path | None, subject: Subject, tables: Sequence[Table], store: Store) -> None:
        self.folder, self.made_with = folder, made_with(subject, tables, store)
        self._rows: dict[str, dict[str, Any]] = {}
        self._draws: dict[str, np.ndarray] = {}
        if folder is None:
            return
        if not all((folder / name).is_file() for name in (PAGE, DRAWS)):
            raise SystemExit(
                f"Expected {PAGE} and {DRAWS} in {folder}, found no such page: leave out --finished."
            )
        made = json.loads((folder / PAGE).read_text(encoding="utf-8"))
        wrong = [key for key, value in self.made_with.items() if made["made_with"].get(key) != value]
        if store.any_code and "code" in wrong:
            wrong.remove("code")
            self.made_with["code"] = SEVERAL
        if wrong:
            raise SystemExit(
                f"Expected finished points made with the same {', '.join(wrong)}, got others in {folder}: "
                "leave out --finished, or use what they were made with."
            )
        self._rows = {name: table["rows"] for name, table in made["tables"].items()}
        with np.load(folder / DRAWS) as draws:
            self._draws = dict(draws)

    def has(self, table: str, point: str) -> bool:
        return _name(table, point) in self._draws

    def samples(self, table: str, point: str) -> Samples:
        """Sample (see figures.py) of every measure over all of the point's images."""
        return dict(zip(MEASURES, self._draws[_name(table, point)].astype(np.float64), strict=True))

    def cost(self, table: str, point: str) -> dict[str, float]:
        return self._rows[table][point]["cost"]

    def left_of(self, jobs: Sequence[Job]) -> list[Job]:
        """The jobs that are still to be done. Base images are needed only where others are."""
        left = [job for job in jobs if not (job.point and self.has(job.table.name, job.point.name))]
        bases = {job.table.base for job in left if job.point}
        return [job for job in left if job.table.base in bases]


def made_with(subject: Subject, tables: Sequence[Table], store: Store) -> dict[str, Any]:
    """All that a point's figures and draws follow from, as plain data.

    tables: all that the subject has.
    """
    weights = [weights_of([text for text, _ in shots(subject, table.images)]) for table in tables]
    return store.common | {
        "code": store.code,
        "prompts": list(subject.prompts),
        "sizes": {table.name: [list(table.base), *map(list, table.stages)] for table in tables},
        "images": {table.name: table.images for table in tables},
        "judges": file_digest(*(Path(__file__).with_name(name) for name in JUDGE_FILES))[:16],
        # NumPy does not promise the same draws from release to release.
        "draws": hashlib.sha256(b"".join(one.tobytes() for one in weights)).hexdigest()[:16],
    }


def save_draws(folder: Path, samples: dict[tuple[str, str], Samples]) -> None:
    """Beside the page. samples: (table, point) -> those of a point with all its images."""
    arrays = {
        _name(*key): np.array([sample[measure] for measure in MEASURES], np.float32)
        for key, sample in samples.items()
    }
    np.savez_compressed(folder / DRAWS, **arrays)


def _name(table: str, point: str) -> str:
    return f"{table}/{point}"
