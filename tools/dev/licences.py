"""What the published pack imports besides Python's own library and ComfyUI, and under which licence."""

LICENCES = {
    "torch": "BSD-3-Clause",
    "numpy": "BSD-3-Clause",
    "kornia": "Apache-2.0",
    "einops": "MIT",
    "pillow": "MIT-CMU",
    "aiohttp": "Apache-2.0",
}
"""Distribution -> licence. All of them come with ComfyUI; the pack brings none."""
IMPORT_NAMES = {"PIL": "pillow"}
"""Module -> distribution, where their names differ."""
