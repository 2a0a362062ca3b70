"""Sheets of images: columns are methods, rows are prompts."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from tools.bench.picture_quality.finished import Finished
from tools.bench.picture_quality.results import Asked, Results
from tools.bench.picture_quality.store import Store
from tools.demo.contact_sheet import save_contact_sheet

SHEETS = {
    "": (
        "lanczos",
        "upscale_model",
        "direct",
        "hires_fix_0.5",
        "hires_fix_0.7",
        "hires_fix_0.8",
        "tiles_0.5",
        "freescale_0.25",
        "freescale_0.5",
        "freescale_2",
    ),
    "_baselines": (
        "direct",
        "direct_parts",
        "deep_shrink_0.35",
        "scalecrafter_0.6",
        "scalecrafter_0.7",
        "fouriscale_0.7",
        "demofusion_1",
        "demofusion_3",
        "freescale_0.5",
    ),
}
"""Suffix of the file -> its points, as far as a table has them."""
SHEET_ROWS, WIDEST_SHEET = 5, 2400
LEAST_COLUMNS = 4
"""Methods below which a sheet is left out."""


def write(results: Results, folder: Path, store: Store, finished: Finished) -> list[Path]:
    """Write a table's sheets below `folder` and return what is there.

    Those of the finished points' page are kept where their images are gone.
    """
    found = []
    for suffix, points in SHEETS.items():
        names = [name for name in points if name in results.points]
        file = folder / "images" / f"quality_{results.table.name}{suffix}.jpg"
        shots = results.shots(*names) if len(names) >= LEAST_COLUMNS else ()
        shown = [shot for shot in shots if _there(results, names, shot, store)]
        if shown:
            _draw(results, names, shown[:SHEET_ROWS], file, store)
        if shown or (finished.folder == folder and file.is_file()):
            found.append(file)
    return found


def _there(results: Results, names: Sequence[str], shot: Asked, store: Store) -> bool:
    jobs = [results.job(name, shot) for name in names]
    return all(store.has(key) for key in (jobs[0].base_key, *(job.key for job in jobs)))


def _draw(results: Results, names: Sequence[str], shown: Sequence[Asked], path: Path, store: Store) -> None:
    pictures: list[list[Image.Image]] = []
    for shot in shown:
        jobs = [results.job(name, shot) for name in names]
        keys = [jobs[0].base_key, *(job.key for job in jobs)]
        pictures.append([Image.fromarray(store.image(key)) for key in keys])
    titles = ["base image", *(results.points[name].label for name in names)]
    side = min(pictures[0][-1].width, WIDEST_SHEET // len(titles))
    save_contact_sheet(path, titles, pictures, side=side)
