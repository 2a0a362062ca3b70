"""Bench tier: the benchmarks, and what they say of the demo model; a real ComfyUI in the test's process."""

import tools.harness.in_process  # noqa: F401, I001 (ComfyUI, then the pack, ready for use in this process)

# isort: split
import sys

import pytest
import torch


@pytest.fixture(autouse=True)
def inference_mode():
    """As ComfyUI executes nodes."""
    with torch.inference_mode():
        yield


@pytest.fixture(autouse=True)
def without_matplotlib(monkeypatch):
    """As in a fresh clone, where `dev.py test` brings no packages of the benchmarks' plots."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
