"""Batch tier: freescale_batch on stand-ins of ComfyUI, on real Ray and on two real servers."""

from pathlib import Path

import pytest

from tools.harness.batch_place import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.make()
    return place
