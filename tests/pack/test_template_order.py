"""What a template shows first.

ComfyUI runs outputs in any order, so the graph itself must put the cheap one before the costly one.
"""

import json

import pytest

from tools import ROOT

TEMPLATES = sorted((ROOT / "workflows").glob("*.json"))
LATER = ("FreeScaleCascade", "FreeScaleUpscale")


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda file: file.stem)
def test_a_shown_picture_is_ready_before_the_later_stages_begin(template):
    """A sampler's latent goes to VAE Decode alone, and the later stages start from the picture."""
    graph = json.loads(template.read_text(encoding="utf-8"))
    kinds = {node["id"]: node["type"] for node in graph["nodes"]}
    for sampler in (node for node, kind in kinds.items() if kind.startswith("KSampler")):
        fed = [kinds[target] for _, origin, _, target, *_ in graph["links"] if origin == sampler]
        assert "VAEDecode" not in fed or not set(LATER) & set(fed)
