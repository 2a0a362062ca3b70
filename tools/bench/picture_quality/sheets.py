"""Pictures side by side: a row for each prompt, a column for each method."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

MARGIN = 4
TITLE = 26
FONT = 15
LONGEST = 2400


def save_sheet(file: Path, titles: Sequence[str], rows: Sequence[Sequence[np.ndarray]]) -> None:
    """rows: pictures uint8 RGB; each is shown at one size, small enough for a sheet at most LONGEST px
    wide."""
    height, width = rows[0][-1].shape[:2]
    shown = min(width, LONGEST // len(titles) - MARGIN)
    size = (shown, round(height * shown / width))
    step_x, step_y = size[0] + MARGIN, size[1] + MARGIN
    sheet = Image.new("RGB", (len(titles) * step_x + MARGIN, TITLE + len(rows) * step_y), "white")
    _write_titles(sheet, titles, step_x)
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            image = Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS)
            sheet.paste(image, (MARGIN + x * step_x, TITLE + y * step_y))
    sheet.save(file, quality=85)


def _write_titles(sheet: Image.Image, titles: Sequence[str], step: int) -> None:
    """One over each column, `step` px apart, in letters so small that the longest one fits."""
    draw = ImageDraw.Draw(sheet)
    longest = max(draw.textlength(title, ImageFont.load_default(FONT)) for title in titles)
    font = ImageFont.load_default(int(FONT * min(1, (step - 2 * MARGIN) / max(longest, 1))))
    for x, title in enumerate(titles):
        draw.text((MARGIN + x * step, TITLE // 2), title, "black", font, anchor="lm")
