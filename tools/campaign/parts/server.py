"""A ComfyUI server for the cases of a campaign, with a second model and with what looks into it."""

import atexit
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from safetensors.numpy import load_file, save_file

from tools import ROOT
from tools.harness.comfy_client import ComfyClient
from tools.harness.comfy_server import ComfyServer
from tools.harness.demo_prompts import CHECKPOINT

EXTENSIONS = Path(__file__).with_name("extensions")
"""Custom nodes for campaigns alone."""
SECOND_MODEL = "demo_model_with_other_weights.safetensors"


def folders(place: Path) -> dict[str, list[Path]]:
    """What a server needs for campaigns, as ComfyServer takes it. place: a folder for the second model."""
    weights = load_file(ROOT / "tools" / "demo" / CHECKPOINT)
    save_file(
        {name: w * 1.05 if name.startswith("model.") else w for name, w in weights.items()},
        place / SECOND_MODEL,
    )
    return {"custom_nodes": [EXTENSIONS], "checkpoints": [place]}


@contextmanager
def running_server() -> Iterator[ComfyClient]:
    with (
        TemporaryDirectory(prefix="freescale-campaign-") as place,
        ComfyServer.from_environment(folders(Path(place))) as client,
    ):
        yield client


@cache
def shared_client() -> ComfyClient:
    """Of one server for all cases of this process."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(running_server())
