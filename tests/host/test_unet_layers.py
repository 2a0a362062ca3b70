"""Which layers are found in the UNets of the SDXL and SD1.5 families, on meta tensors: found by type, pinned by name."""

import comfy.ops
import pytest
import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from freescale_pack.nodes.unet import attention_blocks, dilation_convs

SDXL = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 320,
    "num_res_blocks": [2, 2, 2],
    "channel_mult": (1, 2, 4),
    "transformer_depth": [0, 0, 2, 2, 10, 10],
    "transformer_depth_middle": 10,
    "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
    "use_spatial_transformer": True,
    "use_linear_in_transformer": True,
    "context_dim": 2048,
    "num_classes": "sequential",
    "adm_in_channels": 2816,
    "num_head_channels": 64,
}
SSD_1B = {
    **SDXL,
    "transformer_depth": [0, 0, 2, 2, 4, 4],
    "transformer_depth_middle": -1,
    "transformer_depth_output": [0, 0, 0, 1, 1, 2, 10, 4, 4],
}
VEGA = {
    **SDXL,
    "transformer_depth": [0, 0, 1, 1, 2, 2],
    "transformer_depth_middle": -1,
    "transformer_depth_output": [0, 0, 0, 1, 1, 1, 2, 2, 2],
}
KOALA_700M = {
    **SDXL,
    "num_res_blocks": [1, 1, 1],
    "transformer_depth": [0, 2, 5],
    "transformer_depth_middle": -2,
    "transformer_depth_output": [0, 0, 2, 2, 5, 5],
}
KOALA_1B = {**KOALA_700M, "transformer_depth_middle": 6, "transformer_depth": [0, 2, 6], "transformer_depth_output": [0, 0, 2, 2, 6, 6]}
SD15 = {
    **SDXL,
    "num_res_blocks": [2, 2, 2, 2],
    "channel_mult": (1, 2, 4, 4),
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "transformer_depth_middle": 1,
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
    "use_linear_in_transformer": False,
    "context_dim": 768,
    "num_classes": None,
    "adm_in_channels": None,
    "num_heads": 8,
    "num_head_channels": -1,
}


def res_convs(*blocks):
    return [f"{block}.{conv}" for block in blocks for conv in ("in_layers.2", "out_layers.3")]


SDXL_CONVS = ["input_blocks.6.0.op", *res_convs("input_blocks.7.0", "input_blocks.8.0")]
SDXL_BLOCKS = [("input", n) for n in (4, 5, 7, 8)] + [("middle", 0)] + [("output", n) for n in range(6)]
TABLE = {
    "SDXL": (SDXL, SDXL_CONVS + res_convs("middle_block.0", "middle_block.2"), SDXL_BLOCKS, 70),
    "SSD-1B": (SSD_1B, SDXL_CONVS + res_convs("middle_block.0"), [b for b in SDXL_BLOCKS if b[0] != "middle"], 34),
    "Vega": (VEGA, SDXL_CONVS + res_convs("middle_block.0"), [b for b in SDXL_BLOCKS if b[0] != "middle"], 15),
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
        ["input_blocks.9.0.op", *res_convs("input_blocks.10.0", "input_blocks.11.0", "middle_block.0", "middle_block.2")],
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
