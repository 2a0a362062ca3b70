"""Finished points of an earlier run whose images are gone: their figures and draws, from that run's page.

So a long run can go on on another machine without carrying gigabytes of images there.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tools.bench.picture_quality.curves import Samples
from tools.bench.picture_quality.experiment import Job
from tools.bench.picture_quality.figures import MEASURES
from tools.bench.picture_quality.store import Store

PAGE, DRAWS = "quality.json", "quality_draws.npz"


class Finished:
    """What `folder` holds of the store's checkpoint, settings and code; nothing without a folder."""

    def __init__(self, folder: Path | None, store: Store) -> None:
        self._rows: dict[str, dict[str, Any]] = {}
        self._draws: dict[str, np.ndarray] = {}
        if folder is None:
            return
        page = json.loads((folder / PAGE).read_text(encoding="utf-8"))
        _check(page["made_with"], store)
        self._rows = {name: table["rows"] for name, table in page["tables"].items()}
        with np.load(folder / DRAWS) as draws:
            self._draws = dict(draws)

    def has(self, table: str, point: str) -> bool:
        return _name(table, point) in self._draws

    def samples(self, table: str, point: str) -> Samples:
        """Sample (see figures.py) of every measure over all of the point's images."""
        row, draws = self._rows[table][point], self._draws[_name(table, point)].astype(np.float64)
        return {
            m: np.concatenate([[row[m]["value"]], drawn]) for m, drawn in zip(MEASURES, draws, strict=True)
        }

    def cost(self, table: str, point: str) -> dict[str, float]:
        return self._rows[table][point]["cost"]

    def left_of(self, jobs: Sequence[Job]) -> list[Job]:
        """The jobs that are still to be done. Base images are needed only for other images."""
        left = [job for job in jobs if not (job.point and self.has(job.table.name, job.point.name))]
        return left if any(job.point for job in left) else []


def save_draws(folder: Path, samples: dict[tuple[str, str], Samples]) -> None:
    """Beside the page. samples: (table, point) -> those of a point with all its images.

    Half precision: an interval's ends are printed with two or three digits.
    """
    arrays = {
        _name(*key): np.array([sample[measure][1:] for measure in MEASURES], np.float16)
        for key, sample in samples.items()
    }
    np.savez_compressed(folder / DRAWS, **arrays)


def _name(table: str, point: str) -> str:
    return f"{table}/{point}"


def _check(made: dict[str, Any], store: Store) -> None:
    wanted = store.common | ({} if store.any_code else {"code": store.code})
    wrong = {key: made.get(key) for key, value in wanted.items() if made.get(key) != value}
    if wrong:
        raise SystemExit(
            f"Expected finished points made with {', '.join(f'{key} {wanted[key]}' for key in wrong)}, got "
            f"{', '.join(map(str, wrong.values()))}. Leave out --finished, or use what they were made with."
        )
