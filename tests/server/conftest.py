"""Server tier: a real ComfyUI server, driven over HTTP and the websocket as a web page or a program would drive it.

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

from demo.comfy_client import ComfyClient
from demo.comfy_server import ComfyServer
from demo.demo_model import CHECKPOINT, CONTROL_NET

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session", autouse=True)
def tiny_sd3() -> None:
    """A model without a UNet among the server's models."""
    folder = Path(os.environ["FREESCALE_BASE"]) / "models" / "diffusion_models"
    folder.mkdir(parents=True, exist_ok=True)
    script = Path(__file__).with_name("make_tiny_sd3.py")
    subprocess.run([sys.executable, script, folder / "tiny_sd3.safetensors"], check=True)


@pytest.fixture(scope="session", autouse=True)
def tiny_control_net() -> None:
    """A ControlNet for the demo model among the server's models."""
    folder = Path(os.environ["FREESCALE_BASE"]) / "models" / "controlnet"
    folder.mkdir(parents=True, exist_ok=True)
    script = Path(__file__).with_name("make_tiny_control_net.py")
    subprocess.run([sys.executable, script, folder / CONTROL_NET], check=True)


@pytest.fixture(scope="session", autouse=True)
def checkpoint_without_vae() -> None:
    """The demo checkpoint's UNet and text encoders alone."""
    folder = Path(os.environ["FREESCALE_BASE"]) / "models" / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    weights = load_file(REPO / "demo" / CHECKPOINT)
    save_file({name: w for name, w in weights.items() if not name.startswith("first_stage_model.")}, folder / "without_vae.safetensors")


@pytest.fixture(scope="session")
def server(tiny_sd3: None, tiny_control_net: None, checkpoint_without_vae: None) -> Iterator[ComfyServer]:
    yield ComfyServer.from_environment()


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
