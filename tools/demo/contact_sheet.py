"""Pictures side by side, with a line of text above each column and one below all."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

CAPTION = 44
MARGIN = 8
FONT = 20
SIDE = 512


def save_contact_sheet(
    file: Path,
    titles: Sequence[str],
    rows: Sequence[Sequence[Image.Image]],
    footer: str = "",
    side: int = SIDE,
) -> None:
    """rows: pictures, each resized to a width of `side` and the shape of the first row's last."""
    size = (side, round(rows[0][-1].height * side / rows[0][-1].width))
    step_x, step_y = side + MARGIN, size[1] + MARGIN
    bottom = CAPTION + len(rows) * step_y
    height = bottom + (CAPTION if footer else 0)
    sheet = Image.new("RGB", (len(titles) * step_x + MARGIN, height), "white")
    draw = ImageDraw.Draw(sheet)
    longest = max(draw.textlength(title, ImageFont.load_default(FONT)) for title in titles)
    font = ImageFont.load_default(int(FONT * min(1, side / max(longest, 1))))
    for x, title in enumerate(titles):
        draw.text((MARGIN + x * step_x, CAPTION // 2), title, "black", font, anchor="lm")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            shown = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
            sheet.paste(shown, (MARGIN + x * step_x, CAPTION + y * step_y))
    draw.text((MARGIN, bottom + CAPTION // 2), footer, "black", ImageFont.load_default(FONT), anchor="lm")
    sheet.save(file, quality=88)
