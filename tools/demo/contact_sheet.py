"""Pictures side by side, each with a line of text."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

PANEL = 512
CAPTION = 44
MARGIN = 8


def save_contact_sheet(
    file: Path, panels: Sequence[tuple[str, Image.Image]], footer: str, side: int = PANEL
) -> None:
    """panels: (caption, picture), shown in one row, each picture resized to `side` pixels; footer: one line
    below them."""
    width = len(panels) * (side + MARGIN) + MARGIN
    sheet = Image.new("RGB", (width, side + 2 * CAPTION + MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(20)
    for i, (caption, picture) in enumerate(panels):
        left = MARGIN + i * (side + MARGIN)
        sheet.paste(picture.convert("RGB").resize((side, side), Image.Resampling.LANCZOS), (left, CAPTION))
        draw.text((left, CAPTION // 2), caption, "black", font, anchor="lm")
    draw.text((MARGIN, CAPTION + side + CAPTION // 2), footer, "black", font, anchor="lm")
    sheet.save(file, quality=88)
