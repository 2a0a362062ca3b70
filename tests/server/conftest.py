"""Server tier: a real ComfyUI server, driven over HTTP and the websocket as a web page or a program would
drive it.

The server runs each prompt once; `prompts.salted` makes it run the same one again.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from prompts import pixels, plain_prompt
from safetensors.numpy import load_file, save_file
from tiny_video_prompts import SVD, VIDEOCRAFTER

from tools import ROOT
from tools.campaign.parts.server import folders as campaign_folders
from tools.harness.comfy_client import ComfyClient
from tools.harness.comfy_server import ComfyServer
from tools.harness.demo_prompts import CHECKPOINT, CONTROL_NET

EXTENSIONS = Path(__file__).with_name("extensions")
"""What makes the stock loaders take small models."""


def make(module: str, file: Path) -> None:
    """Write a model by a module of this folder, in a process of its own, since it needs ComfyUI at hand."""
    subprocess.run([sys.executable, "-m", f"tests.server.{module}", file], cwd=ROOT, check=True)


@pytest.fixture(scope="session", autouse=True)
def tiny_sd3() -> None:
    """A model without a UNet among the server's models."""
    folder = Path(os.environ["FREESCALE_BASE"]) / "models" / "diffusion_models"
    folder.mkdir(parents=True, exist_ok=True)
    make("make_tiny_sd3", folder / "tiny_sd3.safetensors")


@pytest.fixture(scope="session", autouse=True)
def tiny_control_net() -> None:
    """A ControlNet for the demo model among the server's models."""
    folder = Path(os.environ["FREESCALE_BASE"]) / "models" / "controlnet"
    folder.mkdir(parents=True, exist_ok=True)
    make("make_tiny_control_net", folder / CONTROL_NET)


@pytest.fixture(scope="session", autouse=True)
def checkpoint_without_vae() -> None:
    """The demo checkpoint's UNet and text encoders alone."""
    folder = Path(os.environ["FREESCALE_BASE"]) / "models" / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    weights = load_file(ROOT / "tools" / "demo" / CHECKPOINT)
    save_file(
        {name: w for name, w in weights.items() if not name.startswith("first_stage_model.")},
        folder / "without_vae.safetensors",
    )


@pytest.fixture(scope="session", autouse=True)
def tiny_videos() -> None:
    """VideoCrafter2 and Stable Video Diffusion in small among the server's models."""
    folder = Path(os.environ["FREESCALE_BASE"]) / "models" / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    make("make_tiny_videocrafter", folder / VIDEOCRAFTER)
    make("make_tiny_svd", folder / SVD)


@pytest.fixture(scope="session", autouse=True)
def tiny_transformers() -> None:
    """Transformers with their text encoders and VAEs among the server's models."""
    make("make_tiny_transformers", Path(os.environ["FREESCALE_BASE"]) / "models")


@pytest.fixture(scope="session")
def server(
    tiny_sd3: None,
    tiny_control_net: None,
    tiny_videos: None,
    tiny_transformers: None,
    checkpoint_without_vae: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ComfyServer]:
    more = campaign_folders(tmp_path_factory.mktemp("checkpoints"))
    yield ComfyServer.from_environment(more | {"custom_nodes": [EXTENSIONS, *more["custom_nodes"]]})


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
