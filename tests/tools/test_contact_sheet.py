"""The sheet of images that the demo and `dev.py bench quality` write."""

from PIL import Image

from tools.demo.contact_sheet import save_contact_sheet


def test_a_sheet_shows_rows_and_columns(tmp_path):
    image = Image.new("RGB", (60, 40), "grey")
    save_contact_sheet(tmp_path / "sheet.jpg", ["a", "b"], [[image, image]] * 3, side=60)
    with Image.open(tmp_path / "sheet.jpg") as sheet:
        assert sheet.size == (2 * 68 + 8, 44 + 3 * 48)
