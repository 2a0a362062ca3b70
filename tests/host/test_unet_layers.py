"""Which layers are found in the UNets of the SDXL and SD1.5 families, on meta tensors: found by type, pinned
by name."""

import comfy.ops
import pytest
import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from freescale_pack.nodes.backbones.unet import attention_blocks, dilation_convs

from tools.bench.performance.configs import KOALA_1B, KOALA_700M, SD15, SDXL, SSD_1B, VEGA


def res_convs(*blocks):
    return [f"{block}.{conv}" for block in blocks for conv in ("in_layers.2", "out_layers.3")]


SDXL_CONVS = ["input_blocks.6.0.op", *res_convs("input_blocks.7.0", "input_blocks.8.0")]
SDXL_BLOCKS = [("input", n) for n in (4, 5, 7, 8)] + [("middle", 0)] + [("output", n) for n in range(6)]
TABLE = {
    "SDXL": (SDXL, SDXL_CONVS + res_convs("middle_block.0", "middle_block.2"), SDXL_BLOCKS, 70),
    "SSD-1B": (
        SSD_1B,
        SDXL_CONVS + res_convs("middle_block.0"),
        [b for b in SDXL_BLOCKS if b[0] != "middle"],
        34,
    ),
    "Vega": (
        VEGA,
        SDXL_CONVS + res_convs("middle_block.0"),
        [b for b in SDXL_BLOCKS if b[0] != "middle"],
        15,
    ),
    "KOALA-700M": (
        KOALA_700M,
        ["input_blocks.4.0.op", *res_convs("input_blocks.5.0")],
        [("input", 3), ("input", 5), *[("output", n) for n in range(4)]],
        21,
    ),
    "KOALA-1B": (
        KOALA_1B,
        ["input_blocks.4.0.op", *res_convs("input_blocks.5.0", "middle_block.0", "middle_block.2")],
        [("input", 3), ("input", 5), ("middle", 0), *[("output", n) for n in range(4)]],
        30,
    ),
    "SD1.5": (
        SD15,
        [
            "input_blocks.9.0.op",
            *res_convs("input_blocks.10.0", "input_blocks.11.0", "middle_block.0", "middle_block.2"),
        ],
        [("input", n) for n in (1, 2, 4, 5, 7, 8)] + [("middle", 0)] + [("output", n) for n in range(3, 12)],
        16,
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_layers_found(name):
    config, convs, blocks, attentions = TABLE[name]
    unet = UNetModel(**config, device="meta", dtype=torch.float16, operations=comfy.ops.disable_weight_init)
    paths = {module: path for path, module in unet.named_modules()}
    assert [paths[conv] for conv in dilation_convs(unet)] == convs
    assert attention_blocks(unet) == blocks
    assert sum(path.endswith("attn1") for path in paths.values()) == attentions


def test_only_3x3_convolutions_are_dilated():
    """A 1x1 convolution has no neighbours to move apart; with padding it would return a larger picture."""
    unet = UNetModel(**SDXL, device="meta", dtype=torch.float16, operations=comfy.ops.disable_weight_init)
    expected = dilation_convs(unet)
    layers = unet.middle_block[0].in_layers
    layers[2] = torch.nn.Conv2d(1280, 1280, 1, device="meta")
    expected.pop(5)
    assert dilation_convs(unet) == expected
