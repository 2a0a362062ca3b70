"""SDXL's size conditioning of a wide picture: the base size, unless the user names another."""

from freescale_pack.freescale_core.geometry import Size
from freescale_pack.nodes.patching.size_conditioning import with_base_size


def test_the_base_size_is_put_where_no_size_is_named_and_the_originals_stay():
    plain, explicit = {"prompt": 1}, {"width": 777, "target_height": 666, "crop_w": 5}
    conds = {"positive": [plain, explicit], "negative": []}
    assert with_base_size(conds, Size(height=768, width=1344)) == {
        "positive": [
            {"prompt": 1, "width": 1344, "height": 768, "target_width": 1344, "target_height": 768},
            {"width": 777, "height": 768, "target_width": 1344, "target_height": 666, "crop_w": 5},
        ],
        "negative": [],
    }
    assert (plain, explicit) == ({"prompt": 1}, {"width": 777, "target_height": 666, "crop_w": 5})
