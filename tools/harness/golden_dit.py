"""Results of CineScale's code for transformers: the folder, its weights, and the pack's parts around them."""

import json
import os
import re
from functools import cached_property
from pathlib import Path

import comfy.ops
import safetensors.torch
import torch
from comfy.ldm.wan.model import WanModel
from freescale_pack.freescale_core.geometry import Size
from freescale_pack.freescale_core.settings import RopeSettings
from freescale_pack.nodes.backbones.transformer import NotedIds, embedded_by, grid_of, noting
from freescale_pack.nodes.patching.rope import CALL_KEY, OVERRIDE_KEY, RopeCall, install, theta_factors

from tools import ROOT

OURS = ROOT / "tests" / "golden" / "dit"
GOLDEN = Path(os.environ.get("FREESCALE_GOLDEN_DIT", OURS))
WEIGHTS = "weights."


def is_case(path):
    return path.with_suffix(".safetensors").exists() and "config" in json.loads(path.read_text())


CASES = sorted(path.stem for path in GOLDEN.glob("*.json") if is_case(path))


def tables():
    """All warp and frequency tables of the folder, by name."""
    found = {}
    for path in GOLDEN.glob("*.safetensors"):
        with safetensors.safe_open(path, "pt") as file:
            names = [name for name in file.keys() if name.startswith(("warp.", "freqs."))]  # noqa: SIM118
            found |= {name: file.get_tensor(name) for name in names}
    return found


def facts():
    """What the folder's JSON files say beside the cases: {name: value} of every file."""
    return [json.loads(path.read_text()) for path in sorted(GOLDEN.glob("*.json"))]


def numbers_of(name):
    """The numbers in a tensor's name: {"len": 135, "tile": 18, ...}."""
    return {key: float(number) for key, number in re.findall(r"([a-z]+)(\d+(?:\.\d+)?)", name)}


class Case:
    """One golden case: `info`, `tensors`, and the host's own WanModel with the folder's weights."""

    def __init__(self, name):
        self.name = name
        self.info = json.loads((GOLDEN / f"{name}.json").read_text())
        self.tensors = safetensors.torch.load_file(GOLDEN / f"{name}.safetensors")

    @cached_property
    def network(self):
        network = WanModel(
            model_type="t2v", **self.info["config"], operations=comfy.ops.disable_weight_init
        ).float()
        for folder in (GOLDEN, OURS):
            for path in sorted(folder.glob("*.safetensors")):
                weights = _weights(path)
                if weights and {k: v.shape for k, v in weights.items()} == {
                    k: v.shape for k, v in network.state_dict().items()
                }:
                    network.load_state_dict(weights, strict=True)
                    return network.eval()
        raise AssertionError(f"No weights of the folder fit the config of {self.name}.")

    @property
    def cells(self):
        """The latent (t, h, w)."""
        return self.info.get("latent_thw") or list(self.tensors["x"].shape[2:])

    @property
    def rectified(self):
        """AR-RoPE with the case's own limits."""
        limits = {name: Size(*(int(n) for n in size)) for name, size in self.info["ar_rope"].items()}
        return RopeSettings("rectified", **limits)

    def ntk(self, factor):
        return RopeSettings("ntk", theta_factor=factor)

    def model(self, settings, batch=None, before=None):
        """The whole model with RoPE settings, through the patches that a sampler run installs."""
        inputs = [self.tensors[name].float()[:batch] for name in ("x", "t", "context")]
        return self._with(
            settings, before, lambda options: self.network(*inputs, transformer_options=options)
        )

    def attention(self, settings):
        """`blocks.0.self_attn` alone."""

        def run(options):
            freqs = self.network.rope_encode(*self.cells, device="cpu", dtype=torch.float32)
            tokens = self.tensors["tokens"].float()
            return self.network.blocks[0].self_attn(tokens, freqs, transformer_options=options)

        return self._with(settings, None, run)

    def _with(self, settings, before, run):
        options = {} if before is None else {OVERRIDE_KEY: before}
        if settings is None:
            return run(options)
        embedder, grid = self.network.rope_embedder, grid_of(Size(*self.cells[1:]), self.network)
        install(options, settings, lambda device: 2**30)
        # A training size of 1 token, so that a theta factor that is not given would be seen.
        call = RopeCall(settings, embedder, NotedIds(grid), Size(1, 1))
        factors = theta_factors(settings, embedder, call.base, grid)
        noted = noting(embedder, call.noted, factors if settings.mode == "ntk" else ())
        with embedded_by(embedder, noted):
            return run({**options, CALL_KEY: call})


def _weights(path):
    with safetensors.safe_open(path, "pt") as file:
        names = [name for name in file.keys() if name.startswith(WEIGHTS)]  # noqa: SIM118
        return {name.removeprefix(WEIGHTS): file.get_tensor(name).float() for name in names}
