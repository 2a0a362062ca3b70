"""SDXL's size conditioning stays at the base size in every stage (METHOD: micro-conditioning of the training size)."""

from typing import Any

from ..freescale_core.geometry import Size

SIZE_KEYS = ("width", "height", "target_width", "target_height")


def with_base_size(conds: dict[str, list[dict[str, Any]]], base: Size) -> dict[str, list[dict[str, Any]]]:
    """Copies of a guider's conds in which those that name no size get `base` (pixels); explicit ones are kept."""
    values = {"width": base.width, "height": base.height, "target_width": base.width, "target_height": base.height}

    def sized(cond: dict[str, Any]) -> dict[str, Any]:
        return cond if any(key in cond for key in SIZE_KEYS) else {**cond, **values}

    return {name: [sized(cond) for cond in entries] for name, entries in conds.items()}
