"""Both kinds of regions in a cascade, over HTTP."""

import numpy as np
from prompts import cascade_prompt, changed, pixels

from tools.harness.comfy_client import ComfyClient

SIDE = 512
LEFT = {
    "30": {"class_type": "SolidMask", "inputs": {"value": 0.0, "width": 96, "height": 96}},
    "31": {"class_type": "SolidMask", "inputs": {"value": 1.0, "width": 48, "height": 96}},
    "32": {
        "class_type": "MaskComposite",
        "inputs": {"destination": ["30", 0], "source": ["31", 0], "x": 0, "y": 0, "operation": "add"},
    },
}
DETAIL = {
    "33": {
        "class_type": "FreeScaleDetailRegion",
        "inputs": {"mask": ["32", 0], "alpha": 3.0, "feather": 0.0, "binary": False},
    },
    "34": {"class_type": "PreviewImage", "inputs": {"images": ["33", 1]}},
}
TEXT = {
    "35": {
        "class_type": "CLIPTextEncode",
        "inputs": {"clip": ["1", 1], "text": "blue fish on a white background"},
    },
    "36": {
        "class_type": "FreeScalePromptRegion",
        "inputs": {"conditioning": ["35", 0], "mask": ["32", 0], "strength": 1.0},
    },
}


def test_regions_change_the_picture_where_their_mask_is(client: ComfyClient) -> None:
    plain = pixels(client, client.run(cascade_prompt()), "11").astype(float)
    detail = client.run(changed(cascade_prompt() | LEFT | DETAIL, "5", detail_regions=["33", 0]))
    texts = client.run(changed(cascade_prompt() | LEFT | TEXT, "5", prompt_regions=["36", 0]))
    for run in (detail, texts):
        change = np.abs(pixels(client, run, "11") - plain)
        assert change[:, : SIDE // 2].mean() > 2 * change[:, SIDE // 2 :].mean() > 0
    alpha_map = pixels(client, detail, "34")
    assert alpha_map.shape == (96, 96, 3)
    assert (alpha_map[:, :48] == 191).all()  # 3 of 4
    assert (alpha_map[:, 48:] == 127).all()  # 2 of 4
