"""FreeU (arXiv 2309.11497), which FreeScale's authors switch on, around FreeScale and around hires-fix.

The first half of an up block's features is made stronger and the low frequencies of its skip weaker, by
numbers of their own for the deepest level and for the next. ComfyUI's node knows the levels by their width,
1280 and 640 in SDXL. Here they are counted: the demo model's are equally wide.
"""

from typing import Any

from comfy_extras.nodes_freelunch import Fourier_filter
from torch import Tensor

from tools.bench.picture_quality.families.family import Family
from tools.bench.picture_quality.families.freescale import RESTART, patched
from tools.bench.picture_quality.painter import Painter, Shot

AUTHORS = ((1.1, 0.6), (1.2, 0.4))
"""(features, skip) of the deepest level and of the next."""


def with_freeu(model: Any) -> Any:
    """A clone of the MODEL with FreeU at the FreeScale authors' settings."""
    blocks = len(model.get_model_object("diffusion_model").output_blocks)
    blocks_a_level = blocks // len(model.model.model_config.unet_config["channel_mult"])

    def scale(h: Tensor, skip: Tensor, options: dict[str, Any]) -> tuple[Tensor, Tensor]:
        level = options["block"][1] // blocks_a_level
        if level < len(AUTHORS):
            features, low = AUTHORS[level]
            h[:, : h.shape[1] // 2] *= features
            skip = Fourier_filter(skip, threshold=1, scale=low)
        return h, skip

    model = model.clone()
    model.set_model_output_block_patch(scale)
    return model


def freescale(painter: Painter, shot: Shot, alpha: float) -> Tensor:
    return painter.through_stages(shot, patched(with_freeu(painter.model), shot.base, alpha), RESTART)


def hires_fix(painter: Painter, shot: Shot, restart: float) -> Tensor:
    return painter.through_stages(shot, with_freeu(painter.model), restart)


NOTE = "with FreeU at the authors' numbers, the deepest level's and the next one's."
FAMILIES = (
    Family("with_freeu", "FreeScale with FreeU", "alpha", (0.5, 2.0), freescale, NOTE, 3, ("2x",)),
    Family(
        "hires_fix_with_freeu", "hires-fix with FreeU", "restart", (0.5, 0.7), hires_fix, NOTE, 3, ("2x",)
    ),
)
