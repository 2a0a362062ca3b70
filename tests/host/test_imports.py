"""The pack loads where a module that only one of its features needs is missing."""

import asyncio
import importlib.util
import sys

import pytest
import torch
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.nodes.cascade.upscale import resize

from tools import ROOT


@pytest.mark.parametrize("missing", ["comfy_extras.nodes_upscale_model", "aiohttp"])
def test_the_pack_loads_without_a_module_of_one_feature(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    path = str(ROOT / "__init__.py")
    spec = importlib.util.spec_from_file_location(
        "freescale_again", path, submodule_search_locations=[str(ROOT)]
    )
    again = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "freescale_again", again)
    try:
        spec.loader.exec_module(again)
        assert len(asyncio.run(again.FreeScaleExtension().get_node_list())) == 14
    finally:
        for name in [name for name in sys.modules if name.startswith("freescale_again.")]:
            del sys.modules[name]


def test_only_an_upscale_model_needs_the_hosts_upscale_node(monkeypatch):
    monkeypatch.setitem(sys.modules, "comfy_extras.nodes_upscale_model", None)
    image = torch.rand(1, 8, 8, 3)
    assert resize(image, Size(16, 16), "bicubic").shape == (1, 16, 16, 3)
    with pytest.raises(ImportError, match="nodes_upscale_model"):
        resize(image, Size(16, 16), "bicubic", upscale_model=object())
