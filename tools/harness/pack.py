"""Loads the pack as ComfyUI loads it: by its folder, under a name of its own."""

import importlib.util
import sys

from tools import ROOT


def load_pack() -> None:
    """Make the pack importable as `freescale_pack`. ComfyUI must be on the path already."""
    spec = importlib.util.spec_from_file_location(
        "freescale_pack", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    assert spec is not None and spec.loader is not None
    pack = importlib.util.module_from_spec(spec)
    sys.modules["freescale_pack"] = pack
    spec.loader.exec_module(pack)
