"""Server tier: a real ComfyUI server, driven over HTTP and the websocket as a web page or a program would
drive it.

The server runs each prompt once; `prompts.salted` makes it run the same one again.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from prompts import pixels, plain_prompt
from safetensors.numpy import load_file, save_file

from tools import ROOT
from tools.campaign.parts.server import folders as campaign_folders
from tools.harness.comfy_client import ComfyClient
from tools.harness.comfy_server import ComfyServer
from tools.harness.demo_prompts import CHECKPOINT

EXTENSIONS = Path(__file__).with_name("extensions")
"""What makes the stock loaders take small models."""
WITHOUT_VAE = "without_vae.safetensors"
"""The demo checkpoint's UNet and text encoders alone."""


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like ComfyUI's models. A process of its own writes it, since it needs ComfyUI at hand."""
    models = tmp_path_factory.mktemp("models")
    subprocess.run([sys.executable, "-m", "tests.server.make_tiny_models", models], cwd=ROOT, check=True)
    weights = load_file(ROOT / "tools" / "demo" / CHECKPOINT)
    save_file(
        {name: w for name, w in weights.items() if not name.startswith("first_stage_model.")},
        models / "checkpoints" / WITHOUT_VAE,
    )
    return models


@pytest.fixture(scope="session")
def server(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    more = campaign_folders(tmp_path_factory.mktemp("checkpoints"))
    more["custom_nodes"].append(EXTENSIONS)
    for folder in tiny_models.iterdir():
        more.setdefault(folder.name, []).append(folder)
    yield ComfyServer.from_environment(more)


@pytest.fixture(scope="session")
def client(server: ComfyServer) -> Iterator[ComfyClient]:
    with server as client:
        yield client


@pytest.fixture(scope="session")
def object_info(client: ComfyClient) -> dict:
    return client.get("/object_info")


@pytest.fixture(scope="session", autouse=True)
def untouched_picture(client: ComfyClient) -> np.ndarray:
    """A plain KSampler's picture, made before any FreeScale node ran in this server."""
    return pixels(client, client.run(plain_prompt()), "9")
