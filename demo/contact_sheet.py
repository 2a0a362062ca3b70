"""Pictures side by side, each with a line of text."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

PANEL = 512
CAPTION = 44
MARGIN = 8


def save_contact_sheet(file: Path, panels: Sequence[tuple[str, Image.Image]], footer: str) -> None:
    """panels: (caption, picture), shown in one row, each picture resized to PANEL pixels; footer: one line below them."""
    width = len(panels) * (PANEL + MARGIN) + MARGIN
    sheet = Image.new("RGB", (width, PANEL + 2 * CAPTION + MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(20)
    for i, (caption, picture) in enumerate(panels):
        left = MARGIN + i * (PANEL + MARGIN)
        sheet.paste(picture.convert("RGB").resize((PANEL, PANEL), Image.Resampling.LANCZOS), (left, CAPTION))
        draw.text((left, CAPTION // 2), caption, "black", font, anchor="lm")
    draw.text((MARGIN, CAPTION + PANEL + CAPTION // 2), footer, "black", font, anchor="lm")
    sheet.save(file, quality=88)
